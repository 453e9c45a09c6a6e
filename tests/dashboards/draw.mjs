// Draws the dashboards from the answers of a real Prometheus, with Grafana's own components. See README.md.
//
//   node draw.mjs PROMETHEUS-URL [--at UNIX-TIME] [--minutes N] [--domain NAME] [--out FOLDER] [--only NAME]

import { build } from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    at: { type: 'string' },
    minutes: { type: 'string', default: '30' },
    domain: { type: 'string', default: 'good.test' },
    out: { type: 'string', default: path.join(root, 'docs/screenshots') },
    only: { type: 'string' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});
const [url] = positionals;
if (!url) {
  console.error('node draw.mjs PROMETHEUS-URL [--at UNIX-TIME] [--minutes N] [--domain NAME] [--out FOLDER] [--only NAME]');
  process.exit(2);
}

const to = Number(options.at ?? Math.floor(Date.now() / 1000));
const from = to - Number(options.minutes) * 60;
// As Grafana does for a panel of some 400 points.
const step = Math.max(1, Math.ceil((to - from) / 400));
const WIDTH = 1600;

function expanded(expr, oneDomain) {
  const variables = {
    '$job': '.+', '$instance': '.+', '$group': '.*', '$mx': '.+', '$domain': oneDomain ? options.domain : '.+',
    '$__rate_interval': `${Math.max(60, 4 * step)}s`, '$__range': `${to - from}s`,
  };
  return Object.entries(variables).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
}

async function ask(kind, words) {
  const answer = await (await fetch(`${url}/api/v1/${kind}?${new URLSearchParams(words)}`)).json();
  if (answer.status !== 'success') {
    throw new Error(`${words.query}: ${answer.error}`);
  }
  return answer.data.result;
}

async function answers(panel, oneDomain) {
  return Promise.all((panel.targets ?? []).map(async (target) => {
    const query = expanded(target.expr, oneDomain);
    const result = target.range ? await ask('query_range', { query, start: from, end: to, step }) : await ask('query', { query, time: to });
    return { refId: target.refId, legend: target.legendFormat, table: target.format === 'table', result };
  }));
}

await build({
  entryPoints: [path.join(here, 'page.jsx')], outfile: path.join(here, 'build/page.js'), bundle: true, format: 'iife', logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  // Fonts and pictures of the components are not needed.
  loader: { '.ttf': 'empty', '.woff': 'empty', '.woff2': 'empty', '.svg': 'empty', '.png': 'empty' },
});
fs.writeFileSync(path.join(here, 'build/page.html'), '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><body><div id="root"></div><script src="page.js"></script>');

const browser = await chromium.launch({
  executablePath: options.chromium, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--allow-file-access-from-files'],
});
const page = await browser.newPage({ viewport: { width: WIDTH, height: 1000 } });
// "5 minutes ago" is told from then.
await page.clock.setFixedTime(to * 1000);
page.on('pageerror', (error) => console.error(`page: ${error.message.slice(0, 400)}`));
fs.mkdirSync(options.out, { recursive: true });

for (const file of fs.readdirSync(path.join(root, 'dashboards')).sort()) {
  const dashboard = JSON.parse(fs.readFileSync(path.join(root, 'dashboards', file)));
  if (options.only && !file.includes(options.only)) {
    continue;
  }
  const domain = dashboard.templating.list.find((variable) => variable.name === 'domain');
  const oneDomain = Boolean(domain && !domain.multi);
  const data = {};
  for (const panel of dashboard.panels) {
    data[panel.id] = await answers(panel, oneDomain);
  }
  await page.goto(`file://${here}/build/page.html`);
  const drawn = await page.evaluate((given) => window.draw(given), {
    dashboard, data, from, to, step, width: WIDTH, chosen: oneDomain ? options.domain : 'All',
  });
  await page.setViewportSize({ width: WIDTH, height: drawn.height });
  await page.waitForTimeout(2500);
  const out = path.join(options.out, `dashboards-${dashboard.uid.replace('smtptls-', '')}.png`);
  await page.screenshot({ path: out });
  console.log(`${out}: ${dashboard.panels.filter((panel) => panel.type !== 'row').length} panels`);
}
await browser.close();
