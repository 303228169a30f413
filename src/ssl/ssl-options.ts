/**
 * `SSLOptions`: a context described by an object, files by Python's names or PEM in memory by Node's. Depends on `SSLContext`.
 */
import { inspect } from "node:util";
import { memorySource, type Pem, readSource, type Source } from "./certificates.js";
import { CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED, type TLSVersion, type VerifyMode } from "./constants.js";
import { checkVerifyMode, type SNICallback, SSLContext } from "./ssl-context.js";

/**
 * What `sslOptions` takes in place of an {@link SSLContext}. Two names for one thing cannot be given together.
 *
 * A client verifies the server's certificate and its name unless `certReqs: CERT_NONE` or `rejectUnauthorized: false` says not to. A server asks
 * for no certificate unless `certReqs` or `requestCert` says so.
 */
export interface SSLOptions {
  /** The own certificate with its chain: a file in PEM. */
  certfile?: string | undefined;
  /** Its key: a file in PEM; without it the key is where the certificate is. */
  keyfile?: string | undefined;
  /** A file with the authorities to trust, in place of Node's own. */
  caCerts?: string | undefined;
  /** What is checked of the other end. */
  certReqs?: VerifyMode | undefined;
  /** The own certificate with its chain, in memory. */
  cert?: Pem | undefined;
  /** Its key, in memory. */
  key?: Pem | undefined;
  /** The password of an encrypted key. */
  passphrase?: Pem | undefined;
  /** The authorities to trust, in memory, in place of Node's own. */
  ca?: Pem | readonly Pem[] | undefined;
  /** Whether a certificate that is not valid ends the connection. */
  rejectUnauthorized?: boolean | undefined;
  /** A server asks for a certificate, which must be there and valid. It means nothing to a client. */
  requestCert?: boolean | undefined;
  /** As in {@link SSLContext.setAlpnProtocols}. */
  alpnProtocols?: readonly string[] | undefined;
  /** As in {@link SSLContext.setCiphers}. */
  ciphers?: string | undefined;
  /** As {@link SSLContext.minimumVersion}. */
  minVersion?: TLSVersion | undefined;
  /** As {@link SSLContext.maximumVersion}. */
  maxVersion?: TLSVersion | undefined;
  /** As {@link SSLContext.sniCallback}. */
  sniCallback?: SNICallback | undefined;
}

const KEYS: readonly string[] = [
  "certfile",
  "keyfile",
  "caCerts",
  "certReqs",
  "cert",
  "key",
  "passphrase",
  "ca",
  "rejectUnauthorized",
  "requestCert",
  "alpnProtocols",
  "ciphers",
  "minVersion",
  "maxVersion",
  "sniCallback",
] satisfies (keyof SSLOptions)[];

const TWO_NAMES: readonly (readonly [keyof SSLOptions, keyof SSLOptions])[] = [
  ["certfile", "cert"],
  ["keyfile", "key"],
  ["caCerts", "ca"],
  ["certReqs", "rejectUnauthorized"],
  ["certReqs", "requestCert"],
];

/** Names of Python and Node that are nothing like ours. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  sslversion: "minVersion and maxVersion",
  minimumversion: "minVersion",
  maximumversion: "maxVersion",
  password: "passphrase",
  servername: "serverHostname, which goes beside sslOptions and not into it",
  serverhostname: "serverHostname, which goes beside sslOptions and not into it",
  serverside: "serverSide, which goes beside sslOptions and not into it",
  checkserveridentity: "an SSLContext with checkHostname",
  checkhostname: "an SSLContext with checkHostname",
};

function show(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity });
}

/**
 * A context as it is, an options object as a new context, which the caller closes.
 *
 * Tornado: `ssl_options_to_context`. Ours trusts Node's authorities where none are given, and verifies on the client side; Tornado's dict form does
 * neither.
 *
 * @param serverSide - which end it is for; a client's without it
 * @throws TypeError for an unknown key, naming the nearest known one, or a value of a wrong type
 * @throws Error for two names of one thing, naming both
 * @throws SystemError, SSLError for files and PEM texts, as {@link SSLContext.loadCertChain}
 */
export function sslOptionsToContext(options: SSLContext | SSLOptions, serverSide = false): SSLContext {
  if (options instanceof SSLContext) return options;
  checkOptions(options);
  const mode = verifyMode(options, serverSide);
  const context = new SSLContext();
  try {
    configure(context, options, mode, serverSide);
    return context;
  } catch (error) {
    context.close();
    throw error;
  }
}

function configure(context: SSLContext, options: SSLOptions, mode: VerifyMode, serverSide: boolean): void {
  if (mode !== CERT_NONE) {
    context.verifyMode = mode;
    if (!serverSide) context.checkHostname = true;
  }
  const certificate = source("certfile", options.certfile, "cert", options.cert);
  const key = source("keyfile", options.keyfile, "key", options.key);
  if (certificate !== undefined) context._useCertificate(certificate, key ?? certificate, options.passphrase);
  else if (key !== undefined) throw new RangeError(`There is a key, ${key.name}, and no certificate: give certfile or cert too`);
  if (options.caCerts !== undefined) {
    context._trust(readSource("caCerts", checkedPath("caCerts", options.caCerts)));
  } else if (options.ca !== undefined) {
    const texts = Array.isArray(options.ca) ? (options.ca as readonly unknown[]) : [options.ca];
    for (const text of texts) context._trust(memorySource("ca", checkedPem("ca", text)));
  } else if (!serverSide && mode !== CERT_NONE) {
    context.loadDefaultCerts();
  }
  // The lower end first: a higher one below the present 1.2 would be refused.
  if (options.minVersion !== undefined) context.minimumVersion = options.minVersion;
  if (options.maxVersion !== undefined) context.maximumVersion = options.maxVersion;
  if (options.ciphers !== undefined) context.setCiphers(options.ciphers);
  if (options.alpnProtocols !== undefined) context.setAlpnProtocols(options.alpnProtocols);
  if (options.sniCallback !== undefined) context.sniCallback = options.sniCallback;
}

function verifyMode(options: SSLOptions, serverSide: boolean): VerifyMode {
  const { certReqs, rejectUnauthorized, requestCert } = options;
  for (const [name, value] of Object.entries({ rejectUnauthorized, requestCert })) {
    if (value !== undefined && typeof value !== "boolean") throw new TypeError(`${name} is ${show(value)}: use true or false`);
  }
  if (certReqs !== undefined) {
    checkVerifyMode("certReqs", certReqs);
    return certReqs === CERT_OPTIONAL && !serverSide ? CERT_REQUIRED : certReqs;
  }
  if (!serverSide) return rejectUnauthorized === false ? CERT_NONE : CERT_REQUIRED;
  if (requestCert !== true) return CERT_NONE;
  if (rejectUnauthorized === false) {
    throw new RangeError(
      "requestCert with rejectUnauthorized: false would take any certificate: use certReqs: CERT_OPTIONAL, which takes none or a valid one",
    );
  }
  return CERT_REQUIRED;
}

function source(fileOption: string, file: unknown, option: string, pem: unknown): Source | undefined {
  if (file !== undefined) return readSource(fileOption, checkedPath(fileOption, file));
  return pem === undefined ? undefined : memorySource(option, checkedPem(option, pem));
}

function checkedPath(what: string, path: unknown): string {
  if (typeof path !== "string") throw new TypeError(`${what} is ${show(path)}: use a path`);
  if (path === "" || path.includes("\0")) throw new RangeError(`${what} is ${show(path)}: use the path of a file`);
  return path;
}

function checkedPem(what: string, pem: unknown): Pem {
  if (typeof pem === "string" || pem instanceof Uint8Array) return pem;
  throw new TypeError(`${what} is ${show(pem)}: use PEM as a string or a Uint8Array`);
}

function checkOptions(options: unknown): asserts options is SSLOptions {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`sslOptions is ${show(options)}: use an SSLContext, or an object with some of ${KEYS.join(", ")}`);
  }
  for (const key in options) {
    if (!KEYS.includes(key)) throw new TypeError(`Unknown option ${show(key)} of sslOptions: did you mean ${nearest(key)}?`);
  }
  const given = options as SSLOptions;
  for (const [one, other] of TWO_NAMES) {
    if (given[one] !== undefined && given[other] !== undefined) {
      throw new Error(`sslOptions has both ${one} and ${other}, which are two names for one thing: use one of them`);
    }
  }
}

/** The known name that is spelt most like this one. */
function nearest(unknown: string): string {
  const plain = (name: string): string => name.replaceAll("_", "").toLowerCase();
  const elsewhere = ELSEWHERE[plain(unknown)];
  if (elsewhere !== undefined) return elsewhere;
  let best = "";
  let least = Infinity;
  for (const key of KEYS) {
    const distance = editDistance(plain(unknown), plain(key));
    if (distance < least) [best, least] = [key, distance];
  }
  return best;
}

/** How many letters have to be put in, left out or changed (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
