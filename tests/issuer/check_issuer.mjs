// Checks the gateway with an issuer that was written by others (npm oauth2-mock-server), found by discovery.
//
// 1. Tokens of every algorithm that both sides know work; a stranger's do not.
// 2. Keys are rotated again and again while callers come with new tokens: not one wrong answer.
// 3. The issuer goes away for AWAY_SECONDS: not one wrong answer, to tokens that were seen before and to new ones.
// 4. It comes back with other keys, which are found.
//
// GATEWAY is the program, SANDBOX_API the cloud that it calls. Whatever is started here is ended here.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.env.MODULES, 'from-here.js'));
const { OAuth2Issuer, OAuth2Server } = await import(pathToFileURL(require.resolve('oauth2-mock-server')));

const AWAY_SECONDS = Number(process.env.AWAY_SECONDS ?? 60);
const ROTATIONS = Number(process.env.ROTATIONS ?? 10);
const CALLERS = 16;
const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];
const JOB = '/instances/crs-4y9t57vt/backups/678362566696298532848117/urls?region=ap-chengdu';

const folder = mkdtempSync(join(tmpdir(), 'issuer-check-'));
const issuer = new OAuth2Server();
let published = [];
let serial = 0;

// The store of the package publishes every key for ever. Issuers publish a key for as long as its tokens live: here the
// newest three, and callers fetch a new token while the key of theirs is one of the newest two.
issuer.issuer.keys.toJSON = ((all) => () => all().filter((key) => published.includes(key.kid)))(
  issuer.issuer.keys.toJSON.bind(issuer.issuer.keys),
);

async function rotate() {
  const algorithm = ALGORITHMS[serial % ALGORITHMS.length];
  serial += 1;
  const { kid } = await issuer.issuer.keys.generate(algorithm, { kid: `key-${serial}` });
  published = [kid, ...published].slice(0, 3);
}

function token(subject, { from = issuer.issuer, kid = published[0] } = {}) {
  const claims = (_header, payload) =>
    Object.assign(payload, { sub: subject, aud: 'redis-backup-gateway', groups: ['dba'], jti: `${subject}-${Math.random()}` });
  return from.buildToken({ kid, scopesOrTransform: claims });
}

async function startGateway() {
  const config = join(folder, 'gateway.toml');
  writeFileSync(config, `
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
drain_delay = "0s"
[auth]
jwks_refresh = "1s"
jwks_cooldown = "500ms"
[[auth.issuers]]
name = "mock"
issuer = "${issuer.issuer.url}"
audiences = ["redis-backup-gateway"]
[policy]
dir = "config/policies"
[tencent]
regions = ["ap-guangzhou", "ap-chengdu"]
endpoint = "${process.env.SANDBOX_API}"
[tencent.credentials]
source = "env"
`);
  const gateway = spawn(process.env.GATEWAY, ['serve', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  gateway.log = [];
  const lines = createInterface({ input: gateway.stderr });
  const listening = new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      gateway.log.push(line);
      const address = line.startsWith('{') && JSON.parse(line).public_address;
      if (address) resolve(`http://${address}`);
    });
    gateway.on('exit', () => reject(new Error(`the gateway ended:\n${gateway.log.slice(-20).join('\n')}`)));
  });
  return { gateway, url: await listening };
}

async function status(url, bearer) {
  const answer = await fetch(url + JOB, { headers: { Authorization: `Bearer ${bearer}` } });
  await answer.arrayBuffer();
  return answer.status;
}

/// Callers who come again and again until `during` is over, half of them with a new token each time.
async function load(url, during) {
  const counts = {};
  let over = false;
  const caller = async (number) => {
    let steady;
    let kid;
    for (let turn = 0; !over; turn += 1) {
      if (!published.slice(0, 2).includes(kid)) {
        kid = published[0];
        steady = await token(`steady-${number}`, { kid });
      }
      const bearer = number % 2 ? steady : await token(`caller-${number}-${turn}`);
      const code = await status(url, bearer);
      counts[code] = (counts[code] ?? 0) + 1;
      await sleep(number % 2 ? 50 : 5);
    }
  };
  const callers = Array.from({ length: CALLERS }, (_, number) => caller(number));
  await during();
  over = true;
  await Promise.all(callers);
  return counts;
}

function expect(what, counts) {
  const good = counts[200] > 0 && Object.keys(counts).length === 1;
  console.log(`${good ? 'ok' : 'FAILED'}: ${what}: ${JSON.stringify(counts)}`);
  if (!good) process.exitCode = 1;
}

for (let number = 0; number < ALGORITHMS.length; number += 1) await rotate();
await issuer.start(0, '127.0.0.1');
const { port } = issuer.address();
const name = issuer.issuer.url;
published = [1, 2, 3].map((number) => `key-${number}`);
const { gateway, url } = await startGateway();
try {
  let first;
  do {
    first = await status(url, await token('first'));
  } while (first === 503);

  const seen = {};
  for (const kid of published) {
    const code = await status(url, await token('alice', { kid }));
    seen[code] = (seen[code] ?? 0) + 1;
  }
  expect(`a token of each of ${ALGORITHMS.join(', ')}`, seen);

  const stranger = new OAuth2Issuer();
  stranger.url = issuer.issuer.url;
  await stranger.keys.generate('ES256', { kid: 'key-2' });
  const refused = await status(url, await token('mallory', { from: stranger, kid: 'key-2' }));
  expect("a stranger's key under the issuer's name is refused", refused === 401 ? { 200: 1 } : { [refused]: 1 });

  expect(`${ROTATIONS} rotations under load`, await load(url, async () => {
    for (let number = 0; number < ROTATIONS; number += 1) {
      await sleep(1000);
      await rotate();
    }
    await sleep(1000);
  }));

  expect(`the issuer away for ${AWAY_SECONDS} s under load`, await load(url, async () => {
    await issuer.stop();
    // The package forgets its name when it stops, but tokens are made all the same.
    issuer.issuer.url = name;
    await sleep(AWAY_SECONDS * 1000);
  }));

  await rotate();
  await issuer.start(port, '127.0.0.1');
  // What was refused while nobody could be asked is asked again after the cooldown.
  await sleep(1500);
  expect('the issuer back with another key', await load(url, () => sleep(2000)));
} finally {
  gateway.removeAllListeners('exit');
  gateway.kill('SIGTERM');
  await once(gateway, 'exit');
  if (issuer.listening) await issuer.stop();
  rmSync(folder, { recursive: true });
  if (process.exitCode) console.log(gateway.log.slice(-20).join('\n'));
}
