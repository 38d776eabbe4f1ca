// Looks at the console as people do: in a browser. `main.rs` sets the scene and starts this with a JSON
// object: where the browser and the npm packages are, a link into the console, the account, where
// pictures go, and whether the pages are to be walked through too.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { browser: executablePath, packages, link, account, pictures, scene, walks } = JSON.parse(process.argv[2]);
const require = createRequire(join(packages, 'x.js'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const origin = new URL(link).origin;
const home = `/accounts/${account}`;

// The looks in which each page is pictured. Nothing may scroll sideways at any of these widths.
const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1200, height: 800 } },
  dark: { colorScheme: 'dark', viewport: { width: 1200, height: 800 } },
  tablet: { colorScheme: 'light', viewport: { width: 768, height: 1024 } },
  small: { colorScheme: 'light', viewport: { width: 500, height: 844 } },
  narrow: { colorScheme: 'light', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 },
};

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-component-update',
    '--disable-background-networking', '--disable-sync'],
});
// All that is wrong with the pages. Whatever one logs is: it has no script, and loads nothing that could be
// refused.
const wrong = [];

async function opens(options) {
  const context = await browser.newContext({ baseURL: origin, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.on('console', (message) => wrong.push(`${page.url()}: ${message.text()}`));
  page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error}`));
  page.setDefaultTimeout(10_000);
  return page;
}

async function shows(page, text) {
  await page.getByText(text).first().waitFor();
}

// The address of the first send in a state.
async function sendIn(page, state) {
  await page.goto(`${home}/sends?state=${state}`);
  const first = page.locator('tbody th a').first();
  return (await first.count()) ? first.getAttribute('href') : undefined;
}

// What a page has that keeps somebody out.
async function barriers(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => window.axe.run());
  const grave = found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

// Whether the page, or what scrolls in it by itself, is wider than what is seen of it.
function scrollsSideways(page) {
  return page.evaluate(() => {
    const all = [document.scrollingElement, ...document.querySelectorAll('.scroll')];
    return all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel ?? one.localName);
  });
}

async function looksAt(storageState, name, path) {
  for (const [look, options] of Object.entries(LOOKS)) {
    const page = await opens({ ...options, storageState });
    await page.goto(path);
    await page.screenshot({ path: join(pictures, `${scene}-${name}-${look}.png`), fullPage: true });
    for (const one of await scrollsSideways(page)) wrong.push(`${path} (${look}): ${one} scrolls sideways`);
    for (const barrier of await barriers(page)) wrong.push(`${path} (${look}): ${barrier}`);
    await page.context().close();
  }
}

// From the overview to a send that has failed, which is tried again; a plan; a pause, and its end.
async function walk(storageState, javaScriptEnabled) {
  const page = await opens({ ...LOOKS.light, storageState, javaScriptEnabled });
  await page.goto('/');
  await shows(page, 'waits');
  await page.getByRole('link', { name: `Account ${account}` }).click();
  await shows(page, 'How full');
  await page.getByRole('link', { name: 'Sends', exact: true }).click();
  await page.getByLabel('State').selectOption('failed');
  await page.getByRole('button', { name: 'Find' }).first().click();
  await page.locator('tbody th a').first().click();
  await shows(page, 'What happened');
  await page.getByRole('link', { name: 'Try it again…' }).click();
  await page.getByRole('button', { name: 'Try it again' }).click();
  await shows(page, 'The send waits again.');

  await page.getByRole('link', { name: 'Plan a viral day' }).click();
  await page.getByLabel('Comments that want a DM').fill('5000');
  await page.getByRole('button', { name: 'Forecast' }).click();
  await shows(page, 'The last of');

  await page.goto(home);
  await page.getByText('Pause or resume this account').click();
  await page.getByLabel('For how long').selectOption('1h');
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await shows(page, 'The account is paused');
  await page.getByRole('link', { name: 'Resume the account…' }).click();
  await page.getByRole('button', { name: 'Resume it' }).click();
  await shows(page, 'The account goes on');
  await page.context().close();
}

const entered = await opens({});
await entered.goto(link);
const storageState = await entered.context().storageState();

const pages = { overview: '/', account: home };
if (walks) {
  Object.assign(pages, {
    campaigns: `${home}/campaigns`,
    outcomes: `${home}/outcomes`,
    sends: `${home}/sends`,
    sent: `${home}/sends?state=sent`,
    misses: `${home}/misses`,
    why: `${home}/why?comment=1`,
    events: `${home}/events`,
    resume: `${home}/resume`,
    plan: '/plan?comments=5000&span=10m',
    compare: '/compare',
    nowhere: '/nowhere',
  });
  for (const state of ['waiting', 'sent', 'failed']) {
    const address = await sendIn(entered, state);
    assert.ok(address, `no send is ${state}`);
    pages[`send-${state}`] = address;
  }
  pages['send-retry'] = `${pages['send-failed']}/retry`;
}
for (const [name, path] of Object.entries(pages)) await looksAt(storageState, name, path);
if (walks) {
  await walk(storageState, true);
  await walk(storageState, false);
}
await browser.close();
// A page that is not there is answered with 404, which the browser logs.
assert.deepEqual(wrong.filter((line) => !line.includes('status of 404')), []);
