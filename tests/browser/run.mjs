// The status page in real Chromium: what people do with it, what strangers try to do through it, and how quick it is. See README.md.
//
//   node run.mjs --exporter BIN [--only WORD] [--pictures] [--out FOLDER] [--chromium BIN] [--domains N] [--within MS]

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

import { Demo } from './demo.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const { values: options } = parseArgs({
  options: {
    exporter: { type: 'string', default: path.join(root, 'target/debug/smtptls-exporter') },
    only: { type: 'string', default: '' },
    // Of the pages, into --out.
    pictures: { type: 'boolean', default: false },
    out: { type: 'string', default: path.join(root, 'docs/screenshots') },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    // In the large world.
    domains: { type: 'string', default: '10000' },
    // How soon the first content of / has to show there. Only an idle machine can be asked for that, so that nothing is asked unless it is said.
    within: { type: 'string' },
  },
});

const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const DESKTOP = { width: 1280, height: 900 };
const PAGES = ['/', '/hosts', '/hosts/mx2.drift.test', '/certificates', '/failures', '/domains/drift.test', '/domains/ready.test'];
// All that a page may hold beside text and its structure.
const FORBIDDEN = 'script, iframe, object, embed, img, video, audio, base, meta[http-equiv], [style], style, [onerror], [onload], [onclick]';

const browser = await puppeteer.launch({
  executablePath: options.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
});
let demo;
let failed = 0;
let ran = 0;

/** A page that notes whatever must not happen; `end` fails where something did. */
async function open({ base = demo.url, viewport = DESKTOP, scripts = true, scheme = 'light', bypass = false } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const troubles = [];
  page.on('dialog', (dialog) => {
    troubles.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('pageerror', (error) => troubles.push(`an error: ${error.message}`));
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) {
      troubles.push(`the console: ${message.text()}`);
    }
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${base}/`) && !url.startsWith('data:')) {
      troubles.push(`a request to elsewhere: ${url}`);
    }
  });
  page.on('requestfailed', (request) => troubles.push(`a request that failed: ${request.url()}`));
  const client = await page.createCDPSession();
  await client.send('Audits.enable');
  // What the Content-Security-Policy stopped: nothing should even try.
  client.on('Audits.issueAdded', ({ issue }) => {
    if (issue.code === 'ContentSecurityPolicyIssue') {
      troubles.push(`stopped by the policy: ${JSON.stringify(issue.details.contentSecurityPolicyIssueDetails)}`);
    }
  });
  await page.setViewport(viewport);
  await page.setJavaScriptEnabled(scripts);
  await page.setBypassCSP(bypass);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  return {
    page,
    async visit(where, status = 200) {
      const answer = await page.goto(base + where, { waitUntil: 'load' });
      assert.equal(answer.status(), status, where);
      return answer;
    },
    async end() {
      await context.close();
      assert.deepEqual(troubles, []);
    },
  };
}

async function test(name, body) {
  if (!name.includes(options.only)) {
    return;
  }
  ran += 1;
  const began = Date.now();
  try {
    const said = await body();
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)${said ? `: ${said}` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${error.stack}`);
  }
}

/** Opens a page, runs the body, and fails for whatever must not happen meanwhile. */
async function on(settings, body) {
  const opened = await open(settings);
  const said = await body(opened);
  await opened.end();
  return said;
}

const texts = (page, selector) => page.$$eval(selector, (all) => all.map((one) => one.textContent.trim()));
const names = (page) => texts(page, 'table.rows tbody th[scope=row] > a');

async function follow(page, selector) {
  await Promise.all([page.waitForNavigation({ waitUntil: 'load' }), page.click(selector)]);
}

async function submit(page) {
  await follow(page, 'form.filters button[type=submit]');
}

async function small() {
  await test('the list shows every domain, the worst first', () => on({}, async ({ page, visit }) => {
    await visit('/');
    const listed = await names(page);
    assert.deepEqual([...listed].sort(), [...demo.domains].sort());
    const states = await texts(page, 'td[data-label=Delivery]');
    const order = ['refused', 'partly deliverable', 'not seen', 'not protected', 'protected', 'takes no mail'];
    const ranks = states.map((state) => order.findIndex((words) => state.endsWith(words)));
    // "not protected" ends with "protected" too: the first that fits is taken.
    assert.ok(ranks.every((rank) => rank >= 0), states.join());
    assert.deepEqual(ranks, [...ranks].sort((a, b) => a - b));
    assert.equal(await page.$eval('th[aria-sort]', (th) => th.textContent.trim().split(' ')[0]), 'Delivery');
  }));

  await test('a search leaves the domains that fit', () => on({}, async ({ page, visit }) => {
    await visit('/');
    await page.type('#q', 'DRIFT');
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    assert.deepEqual(await names(page), ['drift.test']);
    assert.equal(new URL(page.url()).searchParams.get('q'), 'DRIFT');
    assert.equal(await page.$eval('#q', (input) => input.value), 'DRIFT');
    await page.$eval('#q', (input) => { input.value = 'nobody'; });
    await submit(page);
    assert.deepEqual(await names(page), []);
    assert.match(await page.$eval('main', (main) => main.textContent), /No domain fits/);
    await follow(page, '.banner a');
    assert.equal((await names(page)).length, demo.domains.length);
  }));

  await test('numbers, group and finding filter the list', () => on({}, async ({ page, visit }) => {
    await visit('/');
    const tiles = await page.$$eval('.tiles a', (all) => all.map((one) => [one.lastChild.textContent, Number(one.querySelector('b').textContent)]));
    assert.equal(tiles[0][0], 'all');
    assert.equal(tiles[0][1], demo.domains.length);
    assert.equal(tiles.slice(1).reduce((sum, [, count]) => sum + count, 0), demo.domains.length);
    const words = 'partly deliverable';
    await follow(page, '.tiles a[href*="state=partial"]');
    const states = await texts(page, 'td[data-label=Delivery]');
    // Things happen in the demonstration: the number is that of the same moment.
    const [current, count] = await page.$eval('.tiles a[aria-current]', (tile) => [tile.lastChild.textContent, Number(tile.querySelector('b').textContent)]);
    assert.equal(current, words);
    assert.equal(states.length, count);
    assert.ok(count > 0 && states.every((state) => state.endsWith(words)), states.join());
    // The numbers of the other states still say what a click on them would show.
    assert.equal(await page.$eval('.tiles a', (tile) => Number(tile.querySelector('b').textContent)), demo.domains.length);
    await page.select('#finding', 'mx-not-in-policy');
    await submit(page);
    assert.deepEqual(await names(page), ['drift.test'], 'the state stays chosen');
    await visit('/');
    const group = await page.$eval('#group option:nth-child(2)', (option) => option.value);
    await page.select('#group', group);
    await submit(page);
    const groups = await texts(page, 'th[scope=row] > .quiet');
    assert.ok(groups.length > 0 && groups.every((one) => one === group), groups.join());
  }));

  await test('heads sort, and turn the order', () => on({}, async ({ page, visit }) => {
    await visit('/');
    await follow(page, 'thead a[href*="sort=domain"]');
    const sorted = [...demo.domains].sort();
    assert.deepEqual(await names(page), sorted);
    assert.equal(await page.$eval('thead th', (th) => th.getAttribute('aria-sort')), 'ascending');
    await follow(page, 'thead a[href*="sort=-domain"]');
    assert.deepEqual(await names(page), sorted.reverse());
    assert.equal(await page.$eval('thead th', (th) => th.getAttribute('aria-sort')), 'descending');
  }));

  await test('the list leads to a domain, and that to its hosts', () => on({}, async ({ page, visit }) => {
    await visit('/?q=drift');
    await follow(page, 'tbody th a');
    assert.equal(new URL(page.url()).pathname, '/domains/drift.test');
    const words = await page.$eval('main', (main) => main.textContent);
    assert.match(words, /partly deliverable/i);
    assert.match(words, /mx2\.drift\.test/);
    await follow(page, 'main a[href$="/hosts/mx2.drift.test"]');
    assert.equal(await page.$eval('h1', (h1) => h1.textContent), 'mx2.drift.test');
    await follow(page, 'main a[href*="mx=mx2.drift.test"]');
    assert.deepEqual(await names(page), ['drift.test']);
    await visit('/domains/nobody.test', 404);
    await visit('/hosts/nobody.test', 404);
  }).catch(allow404));

  await test('"probe now" probes, and comes back to the page', () => on({}, async ({ page, visit }) => {
    await visit('/domains/good.test');
    const asked = Date.now();
    const form = 'form[method=post][action$="/domains/good.test/probe"]';
    await follow(page, `${form} button`);
    assert.equal(new URL(page.url()).pathname, '/domains/good.test');
    const judged = await (await fetch(`${demo.url}/api/v1/domains/good.test`)).json();
    const at = Date.parse((Array.isArray(judged) ? judged[0] : judged).checked_at);
    assert.ok(at >= asked - 1000, `probed at ${new Date(at).toISOString()}, asked at ${new Date(asked).toISOString()}`);
  }));

  await test('certificates and hosts: search, filter, sort', () => on({}, async ({ page, visit }) => {
    await visit('/certificates');
    const over = await texts(page, 'td[data-label="Time left"]');
    assert.ok(over.length > 10 && over[0].startsWith('expired '), over[0]);
    await page.select('#within', '0');
    await submit(page);
    const shown = await texts(page, 'td[data-label="Time left"]');
    assert.ok(shown.length > 0 && shown.every((text) => text.startsWith('expired ')), shown.join());
    await visit('/hosts?sort=-host');
    const hosts = await names(page);
    assert.deepEqual(hosts, [...hosts].sort().reverse());
    await visit('/hosts?q=backup&severity=error');
    assert.deepEqual(await names(page), ['mx2.backup.test']);
  }));

  await test('reported failures stand beside the own view', () => on({}, async ({ page, visit }) => {
    await visit('/failures');
    const text = await page.$eval('main', (main) => main.textContent);
    assert.match(text, /certificate-expired/);
    assert.match(text, /mx2\.backup\.test/);
    assert.match(text, /The same is seen from here/);
    await page.select('#type', 'certificate-expired');
    await submit(page);
    const types = await texts(page, 'td[data-label="What fails"] code');
    assert.ok(types.length > 0 && types.every((type) => type === 'certificate-expired'), types.join());
  }));

  await test('everything works without JavaScript', () => on({ scripts: false }, async ({ page, visit }) => {
    for (const where of PAGES) {
      await visit(where);
      assert.ok((await page.$eval('h1', (h1) => h1.textContent)).length > 0, where);
    }
    await visit('/');
    await page.type('#q', 'ready');
    await submit(page);
    assert.deepEqual(await names(page), ['ready.test']);
    await follow(page, 'thead a[href*="sort=domain"]');
    assert.equal(new URL(page.url()).searchParams.get('q'), 'ready');
  }));

  await test('dark and light', async () => {
    const seen = [];
    for (const scheme of ['light', 'dark']) {
      await on({ scheme }, async ({ page, visit }) => {
        await visit('/');
        seen.push(await page.evaluate(() => {
          const { color, backgroundColor } = getComputedStyle(document.body);
          const light = (text) => text.match(/\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765;
          return [light(backgroundColor), light(color)];
        }));
      });
    }
    const [[page, ink], [darkPage, darkInk]] = seen;
    assert.ok(page > 0.9 && ink < 0.25 && darkPage < 0.15 && darkInk > 0.8, JSON.stringify(seen));
  });

  await test('nothing scrolls sideways on a phone', () => on({ viewport: PHONE }, async ({ page, visit }) => {
    for (const where of [...PAGES, '/domains/hostile.test', '/hosts/mx.hostile.test', '/?q=hostile']) {
      await visit(where);
      const wide = await page.evaluate(() => ({
        page: document.scrollingElement.scrollWidth,
        // What is wider than the screen, and not inside a box that scrolls.
        parts: [...document.querySelectorAll('main *')]
          .filter((part) => part.getBoundingClientRect().right > window.innerWidth + 1 && !part.closest('.scroll, pre, svg, .hidden'))
          .map((part) => `${part.tagName}.${part.className}`).slice(0, 5),
      }));
      assert.ok(wide.page <= PHONE.width && wide.parts.length === 0, `${where}: ${JSON.stringify(wide)}`);
    }
  }));

  await test('a keyboard is enough, and shows where it is', () => on({}, async ({ page, visit }) => {
    await visit('/');
    const focus = () => page.evaluate(() => {
      const here = document.activeElement;
      const box = here.getBoundingClientRect();
      const style = getComputedStyle(here);
      return {
        text: here.textContent.trim().slice(0, 30), tag: here.tagName, id: here.id, href: here.getAttribute('href'),
        seen: box.width > 0 && box.left >= 0 && box.top >= 0 && box.left < window.innerWidth,
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      };
    });
    await page.keyboard.press('Tab');
    let here = await focus();
    assert.ok(here.href === '#content' && here.seen && here.ring, JSON.stringify(here));
    await page.keyboard.press('Enter');
    assert.equal((await focus()).id, 'content');
    await page.keyboard.press('Tab');
    here = await focus();
    assert.ok(here.href?.includes('/') && !here.text.includes('Skip'), `behind the navigation: ${JSON.stringify(here)}`);
    await visit('/');
    const walked = [];
    for (let step = 0; step < 60; step += 1) {
      await page.keyboard.press('Tab');
      here = await focus();
      if (here.tag === 'BODY') {
        break;
      }
      assert.ok(here.ring, `no ring: ${JSON.stringify(here)}`);
      walked.push(here.id || here.text || here.tag);
    }
    const order = ['Skip to the content', 'smtptls-exporter', 'Mail hosts', 'q', 'severity', 'finding', 'Show'];
    const places = order.map((name) => walked.indexOf(name));
    assert.ok(places.every((place) => place >= 0), `${walked}`);
    assert.deepEqual(places, [...places].sort((a, b) => a - b));
    // The box of the table takes the focus, so that arrows can scroll it.
    assert.equal(await page.$eval('.scroll', (box) => box.tabIndex), 0);
  }));

  await test('axe-core finds nothing serious', async () => {
    const axe = fs.readFileSync(path.join(import.meta.dirname, 'node_modules/axe-core/axe.min.js'), 'utf8');
    const found = [];
    let rules = 0;
    for (const [scheme, viewport] of [['light', DESKTOP], ['dark', DESKTOP], ['light', PHONE]]) {
      // Only here a script may run: axe is one.
      await on({ scheme, viewport, bypass: true }, async ({ page, visit }) => {
        for (const where of [...PAGES, '/?q=nobody', '/domains/hostile.test', '/hosts/mx.hostile.test']) {
          await visit(where);
          await page.evaluate(axe);
          const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
          rules = Math.max(rules, result.passes.length);
          for (const { id, impact, nodes } of result.violations) {
            found.push(`${impact} ${id} at ${where} (${scheme}, ${viewport.width} px): ${nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(' | ')}`);
          }
        }
      });
    }
    const grave = found.filter((text) => /^(serious|critical)/.test(text));
    assert.deepEqual(grave, []);
    assert.ok(rules > 20, `only ${rules} rules held: did it run?`);
    return `${rules} rules hold; lesser: ${[...new Set(found.map((text) => text.split(' at ')[0]))].join(', ') || 'none'}`;
  });

  await test('text from strangers stays text', () => on({}, async ({ page, visit }) => {
    let shown = '';
    for (const where of ['/?q=hostile', '/?group=%3Cb%3Ehostile%3C%2Fb%3E', '/domains/hostile.test', '/hosts/mx.hostile.test', '/certificates?q=hostile', '/failures?q=hostile',
      '/?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E', '/failures?reporter=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E', '/hosts/%3Cimg%20src=x%20onerror=alert(1)%3E']) {
      const answer = await visit(where, where.startsWith('/hosts/%3C') ? 404 : 200);
      assert.match(answer.headers()['content-security-policy'], /^default-src 'none'/, where);
      assert.deepEqual(await page.$$eval(FORBIDDEN, (all) => all.map((one) => one.outerHTML.slice(0, 200))), [], where);
      assert.equal(await page.$$eval('b', (all) => all.filter((one) => one.textContent === 'hostile').length), 0, where);
      const text = await page.evaluate(() => document.body.innerText);
      // Control characters would reach a terminal that somebody copies them into.
      // eslint-disable-next-line no-control-regex
      assert.ok(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/.test(text), `${where}: a control character`);
      shown += text;
    }
    for (const text of ['<b>hostile</b>', '<script>alert(1)</script>', '<img src=x onerror=alert(1)>']) {
      assert.ok(shown.includes(text), `${text} is nowhere shown as text`);
    }
  }).catch(allow404));

  await test('the pages hold nothing that runs', () => on({}, async ({ page, visit }) => {
    for (const where of PAGES) {
      await visit(where);
      assert.deepEqual(await page.$$eval(FORBIDDEN, (all) => all.map((one) => one.outerHTML.slice(0, 200))), [], where);
    }
  }));
}

/** Chromium writes a 404 that was asked for to its console. */
function allow404(error) {
  const troubles = error.actual;
  if (!Array.isArray(troubles) || !troubles.every((text) => /the console: Failed to load resource.*404/.test(text))) {
    throw error;
  }
}

async function large() {
  const count = Number(options.domains);
  await test(`${count} domains in pages of a hundred${options.within ? `, the first content of / within ${options.within} ms` : ''}`, async () => {
    const figures = {};
    for (const where of ['/', '/?q=d0777', '/?sort=certificate', '/?per_page=1000', '/hosts', '/certificates', '/failures']) {
      const runs = [];
      for (let run = 0; run < 5; run += 1) {
        // A new context each time: nothing is in its cache.
        await on({}, async ({ page, visit }) => {
          await visit(where);
          runs.push(await page.evaluate(async () => {
            const [navigation] = performance.getEntriesByType('navigation');
            const content = () => performance.getEntriesByName('first-contentful-paint')[0];
            while (!content()) {
              await new Promise((resolve) => setTimeout(resolve, 10));
            }
            return { content: content().startTime, answer: navigation.responseStart, bytes: navigation.transferSize };
          }));
        });
      }
      const median = (of) => runs.map(of).sort((a, b) => a - b)[2];
      figures[where] = { content: median((run) => run.content), answer: median((run) => run.answer), bytes: median((run) => run.bytes) };
      const { content, answer, bytes } = figures[where];
      console.log(`        ${where.padEnd(22)} first content ${content.toFixed(0).padStart(4)} ms, first byte ${answer.toFixed(0).padStart(4)} ms, ${bytes} bytes`);
    }
    await on({}, async ({ page, visit }) => {
      await visit('/');
      assert.match(await page.$eval('caption', (caption) => caption.textContent), new RegExp(`^${demo.count.toLocaleString('en')} domains`));
      assert.equal((await names(page)).length, 100);
      await follow(page, 'nav.pages a[rel=next]');
      assert.equal((await names(page)).length, 100);
      assert.match(await page.$eval('nav.pages span', (span) => span.textContent), /^101 to 200 of /);
    });
    assert.ok(!options.within || figures['/'].content < Number(options.within), `${figures['/'].content} ms, with a load of ${os.loadavg()[0]} on ${os.cpus().length} cores`);
  });
}

/** The pages as docs/status-page.md shows them. */
async function pictures() {
  const shots = [
    ['overview', '/', {}], ['overview-dark', '/', { scheme: 'dark' }], ['overview-phone', '/', { viewport: PHONE }],
    ['domain', '/domains/backup.test', {}], ['domain-phone', '/domains/backup.test', { viewport: PHONE }], ['domain-dark', '/domains/ready.test', { scheme: 'dark' }],
    ['hosts', '/hosts', {}], ['host', '/hosts/mx2.backup.test', {}], ['certificates', '/certificates', {}], ['failures', '/failures', {}],
  ];
  fs.mkdirSync(options.out, { recursive: true });
  for (const [name, where, settings] of shots) {
    await on(settings, async ({ page, visit }) => {
      await visit(where);
      const high = await page.evaluate(() => document.documentElement.scrollHeight);
      const { width, height } = settings.viewport ?? DESKTOP;
      const clip = { x: 0, y: 0, width, height: Math.min(high, settings.viewport ? height * 2 : 1400) };
      await page.screenshot({ path: path.join(options.out, `page-${name}.png`), clip, captureBeyondViewport: true });
      console.log(`        ${path.join(options.out, `page-${name}.png`)}`);
    });
  }
}

try {
  demo = await Demo.start(options.exporter);
  await small();
  if (options.pictures) {
    await pictures();
  }
  await demo.stop();
  const many = `${options.domains} domains`;
  if (many.includes(options.only) || options.only === 'domains') {
    demo = await Demo.start(options.exporter, Number(options.domains));
    await large();
    await demo.stop();
  }
} finally {
  await demo?.stop();
  await browser.close();
}
assert.ok(ran > 0, 'no test has that word in its name');
console.log(`${ran - failed} of ${ran} hold`);
process.exit(failed > 0 ? 1 : 0);
