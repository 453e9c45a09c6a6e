// Runs `smtptls-exporter demo`, and waits until every domain of it was probed.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

// 10,000 domains are probed within two minutes where the machine has nothing else to do.
const PATIENCE_MS = 300_000;

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Demo {
  /** `many`: so many further domains on shared hosts. */
  static async start(exporter, many = 0) {
    const demo = new Demo();
    demo.many = many;
    demo.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'smtptls-browser-'));
    const port = await freePort();
    demo.url = `http://127.0.0.1:${port}`;
    const log = fs.openSync(path.join(demo.folder, 'log'), 'w');
    const where = path.join(demo.folder, 'demo');
    const asked = ['demo', '--demo.dir', where, '--web.listen-address', `127.0.0.1:${port}`, ...(many > 0 ? ['--domains', String(many)] : [])];
    demo.child = spawn(exporter, asked, { stdio: ['ignore', log, log] });
    demo.ended = new Promise((resolve) => demo.child.once('exit', resolve));
    demo.child.once('error', (error) => { demo.broken = error; });
    const began = Date.now();
    while (!(await demo.settled())) {
      if (demo.broken || demo.child.exitCode !== null || Date.now() - began > PATIENCE_MS) {
        const said = fs.readFileSync(path.join(demo.folder, 'log'), 'utf8').slice(-2000);
        await demo.stop();
        throw new Error(`${exporter} ${asked.join(' ')} does not get ready: ${demo.broken ?? ''}\n${said}`);
      }
      await pause(500);
    }
    console.log(`        ${demo.url}: ${demo.count} domains, all probed after ${((Date.now() - began) / 1000).toFixed(0)} s`);
    return demo;
  }

  /** Whether every domain and the addresses of its hosts were looked at; by the metrics, which the pages do not come from. */
  async settled() {
    let text;
    try {
      text = await (await fetch(`${this.url}/metrics`)).text();
    } catch {
      return false;
    }
    const series = (name) => text.split('\n').filter((line) => line.startsWith(`${name}{`));
    const probed = series('smtptls_domain_last_probe_timestamp_seconds').map((line) => line.match(/domain="([^"]+)"/)[1]);
    this.domains = probed;
    this.count = probed.length;
    const log = fs.readFileSync(path.join(this.folder, 'log'), 'utf8');
    const configured = Number(log.match(/A monitor of ([\d,]+) domains/)?.[1].replaceAll(',', '') ?? NaN);
    const unseen = series('smtptls_domain_delivery').filter((line) => line.endsWith(' 1') && line.includes('state="unknown"'));
    // The one whose mail host turns the monitor away stays unknown.
    return probed.length === configured + this.many && unseen.every((line) => line.includes('domain="rejects.test"'));
  }

  async stop() {
    if (this.child && this.child.exitCode === null && !this.broken) {
      this.child.kill('SIGINT');
      const late = setTimeout(() => this.child.kill('SIGKILL'), 20_000);
      await this.ended;
      clearTimeout(late);
    }
    if (this.folder) {
      fs.rmSync(this.folder, { recursive: true, force: true });
    }
    this.child = undefined;
  }
}
