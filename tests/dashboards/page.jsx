// The page that draws one dashboard: the answers of Prometheus become data frames, which go through Grafana's transformations and
// field overrides to its components. Grafana's state timeline is not among its published components: bands are drawn here.

import {
  FieldColorModeId, FieldConfigOptionsRegistry, FieldType, LoadingState, VizOrientation, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime,
  getFieldDisplayValues, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext } from '@grafana/data';

const CELL = 30;
const GAP = 8;
const theme = createTheme({ colors: { mode: 'dark' } });
// Some stand there under an old name, too.
standardTransformersRegistry.setInit(() => [...new Map(Object.values(standardTransformers).map((one) => [one.id, one])).values()]
  .map((one) => ({ id: one.id, name: one.name, transformation: () => Promise.resolve(one) })));

const standard = ['unit', 'decimals', 'mappings', 'thresholds', 'color', 'noValue', 'min', 'max', 'displayName', 'links'];
const custom = ['width', 'cellOptions', 'align', 'filterable', 'drawStyle', 'fillOpacity', 'lineWidth', 'pointSize', 'showPoints', 'spanNulls',
  'stacking', 'axisPlacement', 'axisSoftMin'];
const registry = new FieldConfigOptionsRegistry(() => {
  const item = (id, isCustom) => ({
    id: isCustom ? `custom.${id}` : id, path: id, name: id, isCustom, process: (value) => value, shouldApply: () => true, getItemsCount: () => 0,
    override: () => null, editor: () => null, settings: {},
  });
  return [...standard.map((id) => item(id, false)), ...custom.map((id) => item(id, true))];
});

const number = (text) => (text === 'NaN' ? null : text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text));

// As the data source does it: the letter is left out where one query alone has an answer.
function tableFrames(answers) {
  const found = answers.filter((answer) => answer.result.length);
  return found.map(({ refId, result }) => {
    const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].sort();
    return toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: result.map((series) => series.value[0] * 1000) },
        ...labels.map((label) => ({ name: label, type: FieldType.string, values: result.map((series) => series.metric[label] ?? '') })),
        { name: found.length > 1 ? `Value #${refId}` : 'Value', type: FieldType.number, values: result.map((series) => number(series.value[1])) },
      ],
    });
  });
}

function legendOf(legend, metric) {
  if (legend !== '__auto') {
    return legend.replace(/{{\s*(\w+)\s*}}/g, (_, label) => metric[label] ?? '');
  }
  return Object.values(metric).join(' ') || 'Value';
}

function seriesFrames(answers, step) {
  return answers.flatMap(({ refId, legend, result }) => result.map((series) => {
    const points = series.values ?? [series.value];
    return toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000), config: { interval: step * 1000 } },
        {
          name: 'Value', type: FieldType.number, labels: series.metric, values: points.map(([, value]) => number(value)),
          config: { displayNameFromDS: legendOf(legend, series.metric) },
        },
      ],
    });
  }));
}

async function frames(panel, answers, range, step) {
  const raw = panel.type === 'table' ? tableFrames(answers) : seriesFrames(answers, step);
  const transformed = panel.transformations.length
    ? await new Promise((resolve, reject) =>
      transformDataFrame(panel.transformations, raw, { interpolate: (text) => text }).subscribe({ next: resolve, error: reject }))
    : raw;
  const ready = applyFieldOverrides({
    data: transformed, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, replaceVariables: (text) => text, theme, timeZone: 'utc',
  });
  cacheFieldDisplayNames(ready);
  return ready;
}

const stat = (panel, data, width, height) => {
  const [first] = displayed(panel, data);
  return <BigValue theme={theme} width={width} height={height} value={first.display} colorMode="value" graphMode="none" justifyMode="auto" textMode="value" />;
};

const displayed = (panel, data) =>
  getFieldDisplayValues({
    fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text, theme, data, sparkline: false, timeZone: 'utc',
  });

function bars(panel, data, width, height) {
  const values = displayed(panel, data);
  const max = panel.fieldConfig.defaults.max ?? Math.max(...values.map((value) => value.display.numeric), 1);
  const each = Math.min(28, Math.max(16, (height - 4) / values.length - 6));
  const room = Math.max(...values.map((value) => (value.display.title ?? '').length)) * 7.5;
  return (
    <div>
      {values.map((value, index) => (
        <div key={index} style={{ display: 'flex', alignItems: 'center', marginBottom: 6, height: each, fontSize: 12, color: theme.colors.text.primary }}>
          <div style={{ width: room, flexShrink: 0, whiteSpace: 'nowrap' }}>{value.display.title}</div>
          <BarGauge theme={theme} width={width - room} height={each} field={{ ...value.field, min: 0, max }} display={value.view?.getFieldDisplayProcessor?.(value.colIndex ?? 0)}
            value={{ ...value.display, title: '' }} orientation={VizOrientation.Horizontal} displayMode="basic" valueDisplayMode="color" showUnfilled text={{ valueSize: 14 }} />
        </div>
      ))}
    </div>
  );
}

function lines(panel, data, width, height, range) {
  return <TimeSeries frames={data} width={width} height={height} timeRange={range} timeZone="utc" legend={{ ...panel.options.legend }} options={{}} />;
}

const table = (panel, data, width, height) => <TableNG data={data[0]} width={width} height={height} fieldConfig={panel.fieldConfig} cellHeight="sm" enableVirtualization={false} />;

// A band for each series: runs of one value, in the colours and words of Grafana's display processor.
function bands(panel, data, width, height, range) {
  const [start, end] = [range.from.valueOf(), range.to.valueOf()];
  const series = data.map((frame) => {
    const [time, value] = frame.fields;
    const step = time.config.interval;
    const runs = [];
    time.values.forEach((at, index) => {
      const last = runs.at(-1);
      if (last && last.value === value.values[index] && at - last.end <= step * 1.5) {
        last.end = at;
      } else {
        runs.push({ start: at, end: at, value: value.values[index] });
      }
    });
    return { name: value.config.displayNameFromDS, runs: runs.map((run) => ({ ...run, end: Math.min(run.end + step, end), display: value.display(run.value) })) };
  });
  const room = Math.min(width / 3, Math.max(...series.map(({ name }) => name.length)) * 6.6 + 10);
  const axis = 18;
  const fitting = series.slice(0, Math.floor((height - axis) / 14));
  const row = Math.min(46, (height - axis) / fitting.length);
  const x = (at) => ((at - start) / (end - start)) * (width - room);
  const ticks = [0, 1, 2, 3, 4, 5].map((tick) => start + ((end - start) * (tick + 0.5)) / 6);
  const quiet = { color: theme.colors.text.secondary, fontSize: 11, position: 'absolute', whiteSpace: 'nowrap' };
  return (
    <div style={{ position: 'relative', width, height, overflow: 'hidden' }}>
      {fitting.map(({ name, runs }, index) => (
        <React.Fragment key={name}>
          <div style={{ ...quiet, top: index * row, height: row * 0.9, lineHeight: `${row * 0.9}px`, width: room - 8, textAlign: 'right', overflow: 'hidden', textOverflow: 'ellipsis' }}>{name}</div>
          {runs.map((run) => (
            <div key={run.start} style={{
              position: 'absolute', left: room + Math.max(0, x(run.start)), width: Math.max(1, x(run.end) - Math.max(0, x(run.start))), top: index * row, height: row * 0.85,
              background: run.display.color, opacity: 0.7,
            }} />
          ))}
          {runs.filter((run) => row > 12 && x(run.end) - x(run.start) > run.display.text.length * 7 + 8).map((run) => (
            <div key={run.start} style={{ ...quiet, color: '#fff', left: room + Math.max(0, x(run.start)) + 5, top: index * row, lineHeight: `${row * 0.85}px` }}>{run.display.text}</div>
          ))}
        </React.Fragment>
      ))}
      {ticks.map((tick) => (
        <div key={tick} style={{ ...quiet, left: room + x(tick) - 15, bottom: 0 }}>{dateTime(tick).utc().format(end - start > 2 * 86400e3 ? 'MM-DD' : 'HH:mm')}</div>
      ))}
    </div>
  );
}

const KINDS = { stat, bargauge: bars, timeseries: lines, table, 'state-timeline': bands };

function Panel({ panel, data, range, width, height, error }) {
  const draw = (innerWidth, innerHeight) => {
    if (error) {
      return <div style={{ color: 'red' }}>{error}</div>;
    }
    const empty = !data.length || data.every((frame) => !frame.length);
    if (empty) {
      const text = panel.fieldConfig.defaults.noValue ?? 'No data';
      return panel.type === 'stat'
        ? <BigValue theme={theme} width={innerWidth} height={innerHeight} value={{ text, numeric: NaN, color: theme.colors.text.secondary }} colorMode="value" graphMode="none" textMode="value" />
        : <div style={{ display: 'flex', alignItems: 'center', justifyContent: 'center', height: '100%', color: theme.colors.text.secondary }}>{text}</div>;
    }
    return KINDS[panel.type](panel, data, innerWidth, innerHeight, range);
  };
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height} loadingState={LoadingState.Done} padding={panel.type === 'table' ? 'none' : 'md'}>
      {draw}
    </PanelChrome>
  );
}

window.draw = async ({ dashboard, data, from, to, step, width, chosen }) => {
  const range = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: dateTime(from * 1000), to: dateTime(to * 1000) } };
  const column = (width - GAP) / 24;
  const head = 52;
  const placed = [];
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const place = { position: 'absolute', left: GAP + x * column, top: head + y * (CELL + GAP) };
    const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
    if (panel.type === 'row') {
      placed.push(<div key={panel.id} style={{ ...place, lineHeight: `${size.height}px`, color: theme.colors.text.primary, fontSize: 16, fontWeight: 500 }}>⌄ {panel.title}</div>);
      continue;
    }
    let ready = [];
    let error;
    try {
      ready = await frames(panel, data[panel.id], range, step);
    } catch (caught) {
      error = String(caught);
    }
    placed.push(<div key={panel.id} style={place}><Panel panel={panel} data={ready} range={range} error={error} {...size} /></div>);
  }
  const height = head + Math.max(...dashboard.panels.map((panel) => panel.gridPos.y + panel.gridPos.h)) * (CELL + GAP) + GAP;
  const variables = dashboard.templating.list.map((variable) => `${variable.label}: ${variable.name === 'domain' ? chosen : variable.name === 'datasource' ? 'Prometheus' : 'All'}`);
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'absolute', left: GAP + 2, top: 8, color: theme.colors.text.primary }}>
        <span style={{ fontSize: 18 }}>{dashboard.title}</span>
        <span style={{ marginLeft: 24, fontSize: 12, color: theme.colors.text.secondary }}>{variables.join('   ·   ')}</span>
      </div>
      {placed}
    </ThemeContext.Provider>,
  );
  return { height: Math.ceil(height) };
};
