// What clients do with a token when a file's redirect leads them to another server: the table in docs/clients.md, tried.
//
// One server here stands for the gateway and redirects as it does; another is where it leads to, under the same name at
// another port, or under another name, and notes whether it was shown the token. Then each client downloads a file from
// the gateway itself. Started by tests/client/run.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

const { GATEWAY, TOKEN, PYTHON, SCRATCH, ELSEWHERE_PORT } = process.env;
const FILE = '/instances/crs-4y9t57vt/backups/latest/files/1';
const run = promisify(execFile);
const listen = (server, port) => new Promise((done) => { server.listen(port, () => done(server.address().port)); });

let shown;
const elsewhere = createServer((request, answer) => {
  shown = request.headers.authorization !== undefined;
  answer.end('REDIS: a dump');
});
await listen(elsewhere, Number(ELSEWHERE_PORT));
const gateway = createServer((request, answer) => {
  const name = request.url.startsWith('/other-name') ? 'localhost' : '127.0.0.1';
  answer.writeHead(302, { location: `http://${name}:${ELSEWHERE_PORT}/file` }).end();
});
const port = await listen(gateway, 0);

const bearer = `Authorization: Bearer ${TOKEN}`;
const out = `${SCRATCH}/downloaded`;
const python = (text) => (url) => run(PYTHON, ['-c', text, url, TOKEN, out]);
// [how, what it does, whether the token goes along to another port, to another name]
const clients = [
  ['curl -L -H', (url) => run('curl', ['-sSL', '-o', out, '-H', bearer, url]), false, false],
  ['curl -L --oauth2-bearer', (url) => run('curl', ['-sSL', '-o', out, '--oauth2-bearer', TOKEN, url]), false, false],
  ['curl --location-trusted', (url) => run('curl', ['-sS', '--location-trusted', '-o', out, '-H', bearer, url]),
    true, true],
  ['wget --header', (url) => run('wget', ['-q', '-O', out, `--header=${bearer}`, url]), true, true],
  ['wget, in two steps', async (url) => {
    const { stderr } = await run('wget', ['-S', '--max-redirect=0', '-O', '/dev/null', `--header=${bearer}`, url])
      .catch((error) => error);
    await run('wget', ['-q', '-O', out, /^\s*Location: (\S+)/im.exec(stderr)[1]]);
  }, false, false],
  ['requests', python('import sys, requests; url, token, out = sys.argv[1:]; open(out, "wb").write(requests.get(url, '
    + 'headers={"Authorization": f"Bearer {token}"}).content)'), false, false],
  ['httpx', python('import sys, httpx; url, token, out = sys.argv[1:]; open(out, "wb").write(httpx.get(url, '
    + 'headers={"Authorization": f"Bearer {token}"}, follow_redirects=True).content)'), false, false],
  ['fetch (Node)', async (url) => {
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${TOKEN}` } });
    await (await import('node:fs/promises')).writeFile(out, await answer.text());
  }, false, false],
];

const words = (leaks) => (leaks ? 'goes along' : 'stays');
let wrong = 0;
for (const [how, download, ...expected] of clients) {
  const found = [];
  for (const path of ['/other-port', '/other-name']) {
    shown = undefined;
    await download(`http://127.0.0.1:${port}${path}`);
    assert.notEqual(shown, undefined, `${how} did not follow`);
    found.push(shown);
  }
  await download(`${GATEWAY}${FILE}`);
  const dump = await readFile(out, 'latin1');
  const isRight = dump.startsWith('REDIS') && found.every((leaks, at) => leaks === expected[at]);
  wrong += isRight ? 0 : 1;
  console.log(`${isRight ? 'ok' : 'NOT AS DOCUMENTED'}: ${how}: the token ${words(found[0])} to another port, `
    + `${words(found[1])} to another name; a dump from the gateway: ${dump.startsWith('REDIS')}`);
}
elsewhere.close();
gateway.close();
console.log(wrong === 0 ? 'docs/clients.md is true' : `${wrong} of ${clients.length} differ from docs/clients.md`);
process.exitCode = wrong === 0 ? 0 : 1;
