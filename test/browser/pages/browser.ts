/** Opens JsSIP phones in a real Chromium, so that calls are held to what a person's browser does. */
import { existsSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type BrowserServer, type Page } from 'playwright-core';
import { describeUnless, describeWithRealNode } from '../../real-node';

/** What a phone of the page has received in the call it is in. */
export interface Received {
  audioPackets: number;
  /** Above 0 where what was decoded is more than silence. */
  audioEnergy: number;
  audioCodec: string;
  videoPackets: number;
  framesDecoded: number;
  videoCodec: string;
}

export interface PhoneSession {
  direction: 'incoming' | 'outgoing';
  state: 'ringing' | 'talking' | 'ended' | 'failed';
  cause: string | null;
}

export interface BrowserPhone {
  /** `registered`, or the status and cause of the refusal. */
  readonly registration: string;
  call(target: string): Promise<void>;
  callHidden(target: string): Promise<void>;
  press(digits: string): Promise<void>;
  /** From of each call, as the page has it. */
  callers(): Promise<string[]>;
  hangup(): Promise<void>;
  hold(): Promise<void>;
  unhold(): Promise<void>;
  /** Takes the track away from every sender: neither sound nor video is sent, and the page lives. */
  sendNothing(): Promise<void>;
  sessions(): Promise<PhoneSession[]>;
  received(): Promise<Received>;
  /** How its packets leave: `host`, `srflx` or `relay`. */
  way(): Promise<string>;
  close(): Promise<void>;
}

export interface BrowserPhoneOptions {
  wsUrl: string;
  username: string;
  domain: string;
  password?: string;
  /** The digest of a grant in the place of a password. */
  ha1?: string;
  realm?: string;
  /** false: it only connects, and registers nowhere. */
  register?: boolean;
  iceServers?: { urls: string[]; username?: string; credential?: string }[];
  /** `relay`: nothing but TURN. */
  iceTransportPolicy?: 'all' | 'relay';
  video?: boolean;
  /** It only listens: it offers and answers `recvonly`. */
  listens?: boolean;
  /** null: it only rings. */
  answerAfterMs?: number | null;
}

/** A page of its own in a context of its own: nobody shares a login or a camera with another. */
export interface OpenPage {
  /** Calls a function of the page's `phone` or `guest`. @throws where it does not answer in time */
  ask<T>(method: string, argument?: unknown): Promise<T>;
  close(): Promise<void>;
}

export interface BrowserApp {
  openPhone(o: BrowserPhoneOptions): Promise<BrowserPhone>;
  /** @param script `guest` for guest.page.js: `window.guest` is what it answers with */
  openPage(script: PageScript): Promise<OpenPage>;
  /** Kills the whole browser, freezes it, or lets it go on: nothing of it says goodbye. */
  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
  close(): Promise<void>;
}

/** CHROMIUM_BIN, or what Debian and others call it on PATH. */
function chromiumBinary(): string | undefined {
  const named = process.env.CHROMIUM_BIN;
  if (named) return existsSync(named) ? named : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((file) => existsSync(file));
}

/** Like describeWithRealNode, and needs a Chromium as well. */
export function describeWithBrowser(name: string, tests: (freeswitch: string, chromium: string) => void): void {
  const browser = chromiumBinary();
  if (browser) return describeWithRealNode(name, (freeswitch) => tests(freeswitch, browser));
  describeUnless('no Chromium found (CHROMIUM_BIN or PATH)', name, () => undefined);
}

/** A fake camera and microphone, nobody to be asked, addresses of this machine shown, and nothing sent home. */
const FLAGS = [
  '--no-sandbox',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-background-networking',
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-sync',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--no-proxy-server',
];

/** A page that comes by TLS. */
export interface PageTls {
  cert: string;
  key: string;
  /** SHA-256 of the certificate's public key (SPKI) in base64: the one that Chromium believes beside those it knows. */
  pin: string;
}

/** @throws where Chromium does not start. */
export async function startBrowserApp(executablePath: string, tls?: PageTls): Promise<BrowserApp> {
  const server = await servePages(tls);
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const args = tls ? [...FLAGS, `--ignore-certificate-errors-spki-list=${tls.pin}`] : FLAGS;
  let running: BrowserServer;
  let browser: Browser;
  try {
    running = await chromium.launchServer({ executablePath, headless: true, args, timeout: 20_000 });
    browser = await chromium.connect(running.wsEndpoint());
  } catch (fault) {
    server.close();
    throw fault;
  }
  const openPage = async (script: PageScript): Promise<OpenPage> => {
    const context = await browser.newContext({ permissions: ['microphone', 'camera'] });
    const page = await context.newPage();
    await page.goto(`${url}${script}`);
    return { ask: (method, argument) => askPage(page, script, method, argument), close: () => context.close() };
  };
  return {
    openPage,
    openPhone: async (o) => {
      const page = await openPage('phone');
      const { ask } = page;
      const registration = await ask<string>('register', o);
      return {
        registration,
        call: (target) => ask('call', target),
        callHidden: (target) => ask('callHidden', target),
        press: (digits) => ask('press', digits),
        callers: () => ask('callers'),
        hangup: () => ask('hangup'),
        hold: () => ask('hold'),
        unhold: () => ask('unhold'),
        sendNothing: () => ask('sendNothing'),
        sessions: () => ask('sessions'),
        received: () => ask('received'),
        way: () => ask('way'),
        close: async () => {
          await ask('stop').catch(() => undefined); // its node may be gone
          await page.close();
        },
      };
    },
    // Chromium is the head of a group of processes of its own: renderers and the network's are in it.
    signal: (name) => void process.kill(-running.process().pid!, name),
    close: async () => {
      await browser.close();
      await running.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const ASK_TIMEOUT_MS = 15_000;

async function askPage<T>(page: Page, script: PageScript, method: string, argument: unknown): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`The page did not answer "${method}".`)), ASK_TIMEOUT_MS);
  });
  const asked = page.evaluate(
    ([owner, name, given]) => {
      const owners = globalThis as unknown as Record<string, Record<string, (given: unknown) => unknown>>;
      return owners[owner]![name]!(given);
    },
    [script, method, argument] as [string, string, unknown],
  );
  return (await Promise.race([asked, late]).finally(() => clearTimeout(timer))) as T;
}

interface Bundler {
  buildSync(options: object): { outputFiles: { text: string }[] };
}

/** The page's script with JsSIP in it; esbuild is the one that tsx brings. */
function bundlePage(script: PageScript): string {
  const { buildSync } = createRequire(require.resolve('tsx/package.json'))('esbuild') as Bundler;
  const built = buildSync({
    entryPoints: [join(__dirname, `${script}.page.js`)],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    logLevel: 'silent',
  });
  return built.outputFiles[0]!.text;
}

const SCRIPTS = ['phone', 'guest'] as const;
export type PageScript = (typeof SCRIPTS)[number];

/** 127.0.0.1 counts as a secure origin, so the page may use camera and microphone. */
function servePages(tls?: PageTls): Promise<Server> {
  const answers = new Map(
    SCRIPTS.flatMap((script) => [
      [`/${script}`, ['text/html', `<!doctype html><title>Phone</title><body><script src="/${script}.js"></script>`]],
      [`/${script}.js`, ['text/javascript', bundlePage(script)]],
    ]),
  );
  const answer: RequestListener = (request, response) => {
    const [type, text] = answers.get(request.url ?? '') ?? [];
    if (text === undefined) return void response.writeHead(404).end();
    response.setHeader('content-type', `${type}; charset=utf-8`).end(text);
  };
  const server = tls ? createTlsServer(tls, answer) : createServer(answer);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
