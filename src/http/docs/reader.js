// Shows the OpenAPI document of this gateway, and sends the requests that a person wants to try.
//
// It has no dependency and builds every element by hand: text is never read as HTML, and the token that is pasted here
// leaves this page in one header, to this gateway.
'use strict';

const main = document.getElementById('main');
const token = document.getElementById('token');

/** An element with attributes and children; a child that is a text stays one. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'class') made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Prose of the document: paragraphs, with `code` and **strong**. */
function prose(text) {
  return (text ?? '').trim().split(/\n{2,}/).map((paragraph) => element('p', {}, ...phrases(paragraph)));
}

function phrases(text) {
  return text.replaceAll('\n', ' ').split(/(`[^`]*`|\*\*[^*]*\*\*)/).map((part) => {
    if (part.startsWith('`') && part.length > 1) return element('code', {}, part.slice(1, -1));
    if (part.startsWith('**')) return element('strong', {}, part.slice(2, -2));
    return part;
  });
}

/** The thing that a `$ref` of this document leads to. */
function resolve(api, thing) {
  if (!thing?.$ref) return thing;
  return thing.$ref.replace(/^#\//, '').split('/').reduce((found, name) => found?.[name], api);
}

/** A type in a few words: `string`, `integer | null`, `Backup[]`, `"public" | "inner"`. */
function typeOf(api, schema) {
  if (!schema) return '';
  if (schema.$ref) {
    const target = resolve(api, schema);
    return target?.enum ? typeOf(api, target) : schema.$ref.split('/').pop();
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.type === 'array') return `${typeOf(api, schema.items)}[]`;
  const name = [schema.type ?? 'any'].flat().join(' | ');
  return schema.format && schema.format.includes('date') ? `${name} (${schema.format})` : name;
}

/** What a value must be beside its type. */
function bounds(schema) {
  const said = [];
  if (schema.minimum !== undefined && schema.maximum !== undefined) said.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.default !== undefined) said.push(`${schema.default} where left out`);
  if (schema.pattern) said.push(`matches ${schema.pattern}`);
  return said.join('; ');
}

function table(headings, rows) {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...headings.map((heading) => element('th', { scope: 'col' }, heading)))),
    element('tbody', {}, ...rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, ...cell))))));
}

/** A field of the form, with the parameter's name before it. */
function field(api, operation, parameter) {
  const id = `${operation.operationId}-${parameter.in}-${parameter.name}`;
  const schema = resolve(api, parameter.schema) ?? {};
  const options = schema.enum ?? [];
  let input;
  if (options.length > 0) {
    input = element('select', { id }, element('option', { value: '' }, ''),
      ...options.map((option) => element('option', { value: option }, option)));
  } else {
    input = element('input', { id, type: 'text', autocomplete: 'off', spellcheck: 'false' });
    if (parameter.example !== undefined) input.placeholder = `such as ${parameter.example}`;
    if (parameter.required && parameter.example !== undefined) input.value = parameter.example;
  }
  const about = [bounds(schema), typeOf(api, parameter.schema)].filter(Boolean).join('; ');
  const row = [
    [element('label', { for: id }, parameter.name), element('span', { class: 'soft' },
      `${parameter.in}${parameter.required ? ', required' : ''}`)],
    [input, ...prose(parameter.description), element('span', { class: 'soft' }, about)],
  ];
  return { parameter, input, row };
}

function members(api, schema) {
  const target = schema?.$ref ? resolve(api, schema) : schema;
  if (!target?.properties) return [];
  const rows = Object.entries(target.properties).map(([name, member]) => [
    [element('code', {}, name)],
    [element('code', {}, typeOf(api, member)), ' ', ...phrases(member.description ?? '')],
  ]);
  const inner = Object.values(target.properties).map((member) => member.items ?? member).filter((member) => member.$ref);
  return [
    ...(schema.$ref ? [element('h3', {}, schema.$ref.split('/').pop())] : []),
    table(['member', 'is'], rows),
    ...inner.filter((member) => resolve(api, member)?.properties).flatMap((member) => members(api, member)),
  ];
}

function response(api, status, described) {
  const headers = Object.entries(described.headers ?? {}).map(([name, header]) => [
    [element('code', {}, name)], phrases(header.description ?? ''),
  ]);
  const bodies = Object.entries(described.content ?? {}).flatMap(([type, content]) => {
    const examples = content.example !== undefined ? [content.example]
      : Object.values(content.examples ?? {}).map((example) => example.value);
    return [
      element('h3', {}, type),
      ...(Number(status) < 400 ? members(api, content.schema) : []),
      ...examples.map((example) => element('pre', {},
        typeof example === 'string' ? example : JSON.stringify(example, null, 2))),
    ];
  });
  return element('details', { class: 'response' },
    element('summary', {}, element('span', { class: `status ${Number(status) < 400 ? 'good' : 'bad'}` }, status), ' ',
      ...phrases(described.description)),
    element('div', {}, ...(headers.length > 0 ? [table(['header', 'says'], headers)] : []), ...bodies));
}

/** The address and the headers of the request that a form describes; throws where a value is missing. */
function requestOf(path, operation, fields) {
  const query = new URLSearchParams();
  const headers = {};
  let target = path;
  for (const { parameter, input } of fields) {
    const value = input.value.trim();
    if (parameter.in === 'path') {
      if (!value) throw new Error(`${parameter.name} is required`);
      target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    } else if (value && parameter.in === 'query') query.set(parameter.name, value);
    else if (value && parameter.in === 'header') headers[parameter.name] = value;
  }
  if (operation.security && token.value.trim()) headers.Authorization = `Bearer ${token.value.trim()}`;
  const search = query.size > 0 ? `?${query}` : '';
  return { url: new URL(`${target.slice(1)}${search}`, document.baseURI), headers };
}

/** The same request for a terminal. The token stays out of it, for command lines are kept. */
function curl({ url, headers }) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const said = Object.entries(headers).map(([name, value]) =>
    name === 'Authorization' ? '-H "Authorization: Bearer $TOKEN"' : `-H ${quote(`${name}: ${value}`)}`);
  return ['curl -sS --fail-with-body', ...said, quote(url.href)].join(' ');
}

async function send(request, output, wantsText) {
  const headers = wantsText ? { ...request.headers, Accept: 'text/plain' } : request.headers;
  const answer = await fetch(request.url, { headers, redirect: 'manual', cache: 'no-store', credentials: 'omit' });
  if (answer.type === 'opaqueredirect') {
    output.append(element('p', {}, element('span', { class: 'status good' }, 'a redirect'),
      ' to the file. A script may not see where to, nor follow it; in a terminal: ',
      element('code', {}, curl({ ...request }).replace('curl -sS', 'curl -LO'))));
    return;
  }
  const text = await answer.text();
  const isJson = (answer.headers.get('content-type') ?? '').includes('json');
  const shown = isJson && text ? JSON.stringify(JSON.parse(text), null, 2) : text;
  output.append(
    element('p', {}, element('span', { class: `status ${answer.ok ? 'good' : 'bad'}` }, String(answer.status)), ' ',
      answer.statusText),
    element('pre', { class: 'body' }, shown),
    element('h3', {}, 'Headers'),
    element('pre', {}, [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n')));
}

function tryIt(path, operation, fields) {
  const output = element('div', { 'aria-live': 'polite' });
  const button = element('button', { type: 'button' }, 'Send');
  const types = Object.keys(operation.responses['200']?.content ?? {});
  const asText = element('input', { type: 'checkbox', id: `${operation.operationId}-as-text` });
  button.addEventListener('click', async () => {
    output.replaceChildren();
    button.disabled = true;
    try {
      const request = requestOf(path, operation, fields);
      output.append(element('h3', {}, 'In a terminal'), element('pre', {}, curl(request)), element('h3', {}, 'Answer'));
      await send(request, output, asText.checked);
    } catch (error) {
      output.append(element('p', { class: 'bad' }, String(error.message ?? error)));
    } finally {
      button.disabled = false;
    }
  });
  const choice = types.length > 1
    ? [element('p', {}, asText, ' ', element('label', { for: asText.id, class: 'inline' }, 'as plain text'))] : [];
  return [...choice, element('p', {}, button), output];
}

function operationOf(api, path, operation) {
  const fields = (operation.parameters ?? []).map((parameter) => field(api, operation, resolve(api, parameter)));
  const responses = Object.entries(operation.responses).map(([status, described]) => response(api, status, described));
  return element('details', { id: operation.operationId },
    element('summary', {}, element('span', { class: 'method' }, 'GET'), element('code', {}, path),
      element('span', { class: 'soft' }, operation.summary ?? '')),
    element('div', {}, ...prose(operation.description),
      ...(operation.security ? [] : [element('p', { class: 'soft' }, 'Needs no token.')]),
      ...(fields.length > 0 ? [table(['parameter', 'is'], fields.map(({ row }) => row))] : []),
      ...tryIt(path, operation, fields),
      element('h3', {}, 'Answers'), ...responses));
}

function show(api) {
  document.title = `${api.info.title}: API`;
  document.getElementById('title').replaceChildren(`${api.info.title} `, element('small', {}, api.info.version));
  const operations = Object.entries(api.paths).map(([path, item]) => [path, item.get]).filter(([, get]) => get);
  main.replaceChildren(...prose(api.info.description), ...api.tags.flatMap((tag) => [
    element('h2', {}, tag.name),
    ...prose(tag.description),
    ...operations.filter(([, get]) => get.tags?.includes(tag.name)).map(([path, get]) => operationOf(api, path, get)),
  ]));
  if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute('open', '');
}

// There is nothing to submit; the form tells browsers and screen readers that the field stands for itself.
document.getElementById('caller').addEventListener('submit', (event) => event.preventDefault());

fetch('openapi.json', { credentials: 'omit' })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`openapi.json: ${answer.status}`))))
  .then(show)
  .catch((error) => main.replaceChildren(element('p', { class: 'bad' }, String(error.message ?? error))));
