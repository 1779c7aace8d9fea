// What a browser makes of the gateway. Started by tests/browser/run, which says where everything is.
//
// Two web servers of this script stand for a dashboard whose origin is listed and for a page of somebody else.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const { GATEWAY, TOKEN, HASTY_TOKEN, JOB, CHROMIUM, SHOTS, LISTED_PORT, FOREIGN_PORT } = process.env;
const PATIENCE_MS = 20_000;

const pages = [LISTED_PORT, FOREIGN_PORT].map((port) =>
  createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<!doctype html><title>a page</title>'))
    .listen(Number(port), '127.0.0.1'));
// Chromium's own sandbox does not start as root; the pages here are ours.
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
let failed = 0;

async function check(what, act) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  try {
    await act(page);
    console.log(`ok: ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${what}\n${error.stack}`);
  } finally {
    await page.close();
  }
}

/** What a script on a page of that port gets for a request: the answer as it may read it, or that it may not. */
async function fetched(page, port, target, headers = {}, options = {}) {
  await page.goto(`http://127.0.0.1:${port}/`);
  return page.evaluate(async ({ url, headers, options }) => {
    try {
      const answer = await fetch(url, { headers, ...options });
      return {
        type: answer.type, status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text(),
      };
    } catch (error) {
      return { refused: error.name };
    }
  }, { url: `${GATEWAY}${target}`, headers, options });
}

const authorization = { Authorization: `Bearer ${TOKEN}` };

await check('a listed page may send a token and a reason, and reads a 200 with its headers', async (page) => {
  const answer = await fetched(page, LISTED_PORT, JOB, { ...authorization, 'X-Access-Reason': 'INC-1' });
  assert.equal(answer.status, 200, JSON.stringify(answer));
  assert.equal(JSON.parse(answer.body).files.length, 5);
  for (const name of ['cache-status', 'x-request-id', 'ratelimit', 'ratelimit-policy', 'referrer-policy']) {
    assert.ok(answer.headers[name], `${name} is not exposed: ${Object.keys(answer.headers)}`);
  }
});

await check('a listed page reads a 401, and why', async (page) => {
  const answer = await fetched(page, LISTED_PORT, JOB, { Authorization: 'Bearer a.b.c' });
  assert.equal(answer.status, 401);
  assert.equal(JSON.parse(answer.body).code, 'unauthenticated');
  assert.match(answer.headers['www-authenticate'], /^Bearer /);
});

await check('a listed page reads a 429, and when to come back', async (page) => {
  let answer;
  for (let tries = 0; tries < 40 && answer?.status !== 429; tries += 1) {
    answer = await fetched(page, LISTED_PORT, JOB, { Authorization: `Bearer ${HASTY_TOKEN}` });
  }
  assert.equal(answer.status, 429);
  assert.equal(JSON.parse(answer.body).code, 'caller_rate_limited');
  assert.ok(Number(answer.headers['retry-after']) >= 1);
});

await check('a foreign page can neither send a token nor read an answer', async (page) => {
  assert.deepEqual(await fetched(page, FOREIGN_PORT, JOB, authorization), { refused: 'TypeError' });
  assert.deepEqual(await fetched(page, FOREIGN_PORT, '/healthz'), { refused: 'TypeError' });
  const opaque = await fetched(page, FOREIGN_PORT, '/healthz', {}, { mode: 'no-cors' });
  assert.deepEqual([opaque.type, opaque.status, opaque.body], ['opaque', 0, '']);
});

await check('a script does not get past the redirect to a file, and the token goes to nobody', async (page) => {
  const file = JOB.replace('/urls', '/files/1');
  const sent = [];
  page.on('request', (request) => sent.push([new URL(request.url()).origin, request.headers().authorization]));
  assert.deepEqual(await fetched(page, LISTED_PORT, file, authorization), { refused: 'TypeError' });
  const manual = await fetched(page, LISTED_PORT, file, authorization, { redirect: 'manual' });
  assert.equal(manual.type, 'opaqueredirect');
  const elsewhere = sent.filter(([origin, token]) => origin !== GATEWAY && token);
  assert.deepEqual(elsewhere, []);
});

await check('/docs renders from this gateway alone, and nothing is blocked or goes wrong', async (page) => {
  const problems = [];
  const hosts = new Set();
  page.on('console', (message) => problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('request', (request) => hosts.add(new URL(request.url()).origin));
  await page.goto(`${GATEWAY}/`);
  await page.getByRole('heading', { name: 'Download', exact: true }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/docs');
  assert.equal(await page.locator('main > details').count(), 6);
  await page.screenshot({ path: `${SHOTS}/docs.png`, fullPage: true });
  assert.deepEqual([...hosts], [GATEWAY]);
  assert.deepEqual(problems, []);
});

await check('a request from /docs works with a pasted token', async (page) => {
  await page.goto(`${GATEWAY}/docs#read_backup_urls`);
  const operation = page.locator('#read_backup_urls');
  await operation.getByRole('button', { name: 'Send' }).click();
  await operation.locator('.status', { hasText: '401' }).first().waitFor();
  await page.getByLabel('Bearer token').fill(TOKEN);
  await operation.getByLabel('region').selectOption('ap-chengdu');
  await operation.getByRole('button', { name: 'Send' }).click();
  await operation.locator('pre.body', { hasText: 'download_url' }).waitFor();
  const shown = await operation.innerText();
  assert.ok(!shown.includes(TOKEN), 'the token is shown');
  assert.match(shown, /cache-status: redis-backup-gateway/);
  await page.screenshot({ path: `${SHOTS}/docs-request.png`, fullPage: true });
  await operation.getByLabel('as plain text').check();
  await operation.getByRole('button', { name: 'Send' }).click();
  await operation.locator('pre.body', { hasText: /^http/ }).waitFor();
});

await check('/docs says how to download a file where a script cannot', async (page) => {
  await page.goto(`${GATEWAY}/docs#download_backup_file`);
  await page.getByLabel('Bearer token').fill(TOKEN);
  const operation = page.locator('#download_backup_file');
  await operation.getByRole('button', { name: 'Send' }).click();
  await operation.getByText('a redirect', { exact: false }).first().waitFor();
  assert.match(await operation.innerText(), /curl -LO/);
});

await check('/docs fits a small screen and a dark one', async (page) => {
  await page.setViewportSize({ width: 390, height: 800 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.goto(`${GATEWAY}/docs#list_backups`);
  await page.locator('#list_backups table').first().waitFor();
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(inner <= outer, `${inner} pixels on a screen of ${outer}`);
  await page.screenshot({ path: `${SHOTS}/docs-small-dark.png` });
});

await browser.close();
pages.forEach((page) => page.close());
console.log(failed === 0 ? 'the browser is content' : `${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
