/** `SSLContext`, `SSLOptions` and the helpers N59-N62. */
import { expect } from "chai";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { SOCK_DGRAM, Socket, socketpair } from "../../src/platform/index.js";
import {
  CERT_NONE,
  CERT_OPTIONAL,
  CERT_REQUIRED,
  createDefaultContext,
  nativeTlsObjects,
  SSLContext,
  type SSLOptions,
  sslOptionsToContext,
  sslWrapSocket,
} from "../../src/ssl/index.js";
import { defaultAuthorities } from "../../src/ssl/trusted-roots.js";
import { makeCertificate, testAuthority, testIdentity } from "../support/certificates.js";
import { shake } from "./shake.js";

const identity = testIdentity();
const authority = testAuthority();

let directory = "";
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};

describe("SSLContext", () => {
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ioloop-ssl-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  it("N59 a context is returned as it is", () => {
    using context = new SSLContext();
    expect(sslOptionsToContext(context)).to.equal(context);
    expect(sslOptionsToContext(context, true)).to.equal(context);
  });

  it("N59 S169 unknown keys name the nearest known one, two names for one thing are refused by both", () => {
    for (const [key, nearest] of [
      ["cert_file", "certfile"],
      ["certFile", "certfile"],
      ["ca_certs", "caCerts"],
      ["cert_reqs", "certReqs"],
      ["keyFile", "keyfile"],
      ["ALPNProtocols", "alpnProtocols"],
      ["SNICallback", "sniCallback"],
      ["rejectUnauthorised", "rejectUnauthorized"],
      ["ssl_version", "minVersion"],
      ["sslVersion", "minVersion"],
      ["password", "passphrase"],
      ["servername", "serverHostname"],
    ] as const) {
      const options = { [key]: "x" } as SSLOptions;
      expect(() => sslOptionsToContext(options), key).to.throw(TypeError, `Unknown option '${key}' of sslOptions: did you mean ${nearest}`);
    }
    for (const [one, other] of [
      ["certfile", "cert"],
      ["keyfile", "key"],
      ["caCerts", "ca"],
      ["certReqs", "rejectUnauthorized"],
      ["certReqs", "requestCert"],
    ] as const) {
      const options = { [one]: CERT_NONE, [other]: true } as SSLOptions;
      expect(() => sslOptionsToContext(options)).to.throw(Error, `both ${one} and ${other}, which are two names for one thing`);
      expect(() => sslOptionsToContext({ [one]: undefined, [other]: undefined } as SSLOptions, true).close()).to.not.throw();
    }
    for (const options of [null, undefined, 5, "x", [], true])
      expect(() => sslOptionsToContext(options as never)).to.throw(TypeError, "sslOptions is");
  });

  it("N59 values of wrong types and numbers out of range are refused", () => {
    for (const [options, type] of [
      [{ certfile: 5 }, TypeError],
      [{ certfile: "" }, RangeError],
      [{ cert: 5 }, TypeError],
      [{ ca: [5] }, TypeError],
      [{ certReqs: "x" }, TypeError],
      [{ certReqs: 7 }, RangeError],
      [{ rejectUnauthorized: 1 }, TypeError],
      [{ requestCert: "yes" }, TypeError],
      [{ alpnProtocols: "h2" }, TypeError],
      [{ alpnProtocols: [""] }, RangeError],
      [{ alpnProtocols: ["x".repeat(256)] }, RangeError],
      [{ minVersion: "TLS1" }, RangeError],
      [{ minVersion: 5 }, TypeError],
      [{ maxVersion: "SSLv3" }, RangeError],
      [{ ciphers: "" }, RangeError],
      [{ ciphers: 5 }, TypeError],
      [{ sniCallback: 5 }, TypeError],
      [{ key: identity.key }, RangeError],
      [{ cert: identity.cert, key: identity.key, passphrase: 5 }, TypeError],
    ] as const) {
      const before = nativeTlsObjects();
      expect(() => sslOptionsToContext(options as SSLOptions), Object.keys(options).join()).to.throw(type);
      expect(nativeTlsObjects()).to.deep.equal(before);
    }
    expect(() => sslOptionsToContext({ requestCert: true, rejectUnauthorized: false }, true)).to.throw(
      RangeError,
      "certReqs: CERT_OPTIONAL",
    );
    expect(() => sslOptionsToContext({ ciphers: "NO-SUCH-CIPHER" })).to.throw(Error, "no cipher match");
    expect(() => sslOptionsToContext({ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" })).to.throw(Error);
  });

  it("N60 which end verifies what, by default and by name", () => {
    const cases: [SSLOptions, boolean, number, boolean][] = [
      [{}, false, CERT_REQUIRED, true],
      [{ certReqs: CERT_NONE }, false, CERT_NONE, false],
      [{ rejectUnauthorized: false }, false, CERT_NONE, false],
      [{ certReqs: CERT_OPTIONAL }, false, CERT_REQUIRED, true],
      [{ requestCert: true }, false, CERT_REQUIRED, true],
      [{}, true, CERT_NONE, false],
      [{ rejectUnauthorized: true }, true, CERT_NONE, false],
      [{ requestCert: true }, true, CERT_REQUIRED, false],
      [{ certReqs: CERT_OPTIONAL }, true, CERT_OPTIONAL, false],
      [{ certReqs: CERT_REQUIRED }, true, CERT_REQUIRED, false],
    ];
    for (const [options, serverSide, mode, checkHostname] of cases) {
      using context = sslOptionsToContext(options, serverSide);
      expect([context.verifyMode, context.checkHostname], JSON.stringify(options)).to.deep.equal([mode, checkHostname]);
    }
    using omitted = sslOptionsToContext({});
    expect(omitted.checkHostname).to.equal(true);
  });

  it("N61 missing, broken, mismatched files and wrong passwords throw with the file's name, and leave nothing", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const encrypted = file(
      "encrypted.key",
      identity.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" }),
    );
    const certfile = file("good.pem", identity.cert);
    const broken = file("broken.pem", identity.cert.replace(/\n[^\n]{10}/, "\n!!!!!!!!!!"));
    const empty = file("empty.pem", "nothing here\n");
    const other = file("other.key", privateKey.export({ type: "pkcs8", format: "pem" }));
    const cases: [SSLOptions, RegExp, string?][] = [
      [{ certfile: join(directory, "none.pem") }, /ENOENT.*none\.pem/, "ENOENT"],
      [{ certfile: directory }, /EISDIR/, "EISDIR"],
      [{ certfile, keyfile: join(directory, "none.key") }, /ENOENT.*none\.key/, "ENOENT"],
      [{ certfile: empty }, /There is no certificate in certfile ".*empty\.pem"/],
      [{ certfile: broken }, /certfile ".*broken\.pem"/],
      [{ certfile }, /There is no private key in certfile ".*good\.pem"/],
      [
        { certfile, keyfile: other },
        /key in keyfile ".*other\.key" does not belong to the certificate in certfile ".*good\.pem": key values mismatch/,
      ],
      [{ certfile, keyfile: encrypted }, /keyfile ".*encrypted\.key" is encrypted: give its password/, "ERR_MISSING_PASSPHRASE"],
      [{ certfile, keyfile: encrypted, passphrase: "wrong" }, /keyfile ".*encrypted\.key" cannot be decrypted, so the password is wrong/],
      [{ certfile, keyfile: encrypted, passphrase: "a\0b" }, /NUL/],
      [{ caCerts: empty }, /There is no certificate in caCerts ".*empty\.pem"/],
      [{ caCerts: join(directory, "none.pem") }, /ENOENT.*none\.pem/, "ENOENT"],
      [{ ca: "nothing" }, /There is no certificate in ca/],
      [{ cert: "nothing" }, /There is no certificate in cert/],
    ];
    for (const [options, message, code] of cases) {
      const before = nativeTlsObjects();
      let error: NodeJS.ErrnoException | undefined;
      try {
        sslOptionsToContext(options, true);
      } catch (thrown) {
        error = thrown as NodeJS.ErrnoException;
      }
      expect(error?.message).to.match(message);
      if (code !== undefined) expect(error?.code).to.equal(code);
      expect(nativeTlsObjects()).to.deep.equal(before);
    }
    sslOptionsToContext({ certfile, keyfile: encrypted, passphrase: "open sesame" }, true).close();
    sslOptionsToContext({ certfile, keyfile: encrypted, passphrase: Buffer.from("open sesame") }, true).close();
    sslOptionsToContext(
      { certfile: file("both.pem", identity.key + identity.cert), caCerts: file("ca.pem", authority.cert) },
      true,
    ).close();
    sslOptionsToContext({ cert: Buffer.from(identity.cert + identity.key), ca: [authority.cert, Buffer.from(identity.cert)] }).close();
  });

  it("N62 sslWrapSocket moves the descriptor; when it throws the socket is the caller's still", () => {
    const [a, b] = socketpair();
    const before = nativeTlsObjects();
    using context = createDefaultContext({ cadata: authority.cert });
    for (const [sock, options, extra, type, message] of [
      [a, context, {}, RangeError, "no serverHostname is given"],
      [a, {}, {}, RangeError, "no serverHostname is given"],
      [a, {}, { serverSide: true, serverHostname: "x" }, RangeError, "on the server side"],
      [a, context, { serverHostname: "" }, RangeError, 'serverHostname is ""'],
      [a, context, { serverHostname: 5 }, TypeError, "serverHostname is 5"],
      [a, context, { serverHostname: "a\0b" }, RangeError, "use a host name"],
      [a, { rejectUnauthorized: false, cert: "x" }, {}, Error, "no certificate in cert"],
      [a, context, { doHandshakeOnConnect: true, serverHostname: "x" }, RangeError, "doHandshakeOnConnect"],
      [a, context, { hostname: "x" }, TypeError, "Unknown option 'hostname'"],
      [{}, context, {}, TypeError, "pass a Socket"],
    ] as const) {
      expect(() => sslWrapSocket(sock as Socket, options as SSLOptions, extra as object), message).to.throw(type, message);
      expect([a.closed, nativeTlsObjects().connections]).to.deep.equal([false, before.connections]);
    }
    using closed = new Socket();
    closed.close();
    expect(() => sslWrapSocket(closed, context, { serverHostname: "x" }))
      .to.throw(Error, "EBADF")
      .with.property("code", "EBADF");
    using datagrams = new Socket(undefined, SOCK_DGRAM);
    expect(() => sslWrapSocket(datagrams, context, { serverHostname: "x" })).to.throw(RangeError, "Only stream sockets");
    const fd = a.fileno();
    using wrapped = sslWrapSocket(a, context, { serverHostname: "localhost" });
    expect([a.fileno(), wrapped.fileno(), wrapped.context, wrapped.serverSide, wrapped.serverHostname]).to.deep.equal([
      -1,
      fd,
      context,
      false,
      "localhost",
    ]);
    expect(() => sslWrapSocket(wrapped, context, { serverHostname: "x" })).to.throw(Error, "speaks TLS already");
    expect([wrapped.cipher(), wrapped.version(), wrapped.getpeercert(), wrapped.selectedAlpnProtocol()]).to.deep.equal([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    b.close();
  });

  it("has Python's settings, and keeps them consistent", () => {
    using context = new SSLContext();
    expect([context.verifyMode, context.checkHostname, context.minimumVersion, context.maximumVersion]).to.deep.equal([
      CERT_NONE,
      false,
      "TLSv1.2",
      undefined,
    ]);
    context.checkHostname = true;
    expect(context.verifyMode).to.equal(CERT_REQUIRED);
    expect(() => (context.verifyMode = CERT_NONE)).to.throw(RangeError, "checkHostname");
    context.checkHostname = false;
    context.verifyMode = CERT_NONE;
    expect(() => (context.verifyMode = 9 as never)).to.throw(RangeError);
    expect(() => (context.numTickets = -1)).to.throw(RangeError);
    expect(() => context.loadVerifyLocations({})).to.throw(TypeError, "given nothing");
    expect(() => context.loadVerifyLocations({ ca: "x" } as never)).to.throw(TypeError, "Unknown option 'ca'");
    expect(() => context.loadVerifyLocations({ capath: file("plain", "x") })).to.throw(RangeError, "is no directory");
    context.loadVerifyLocations({ capath: directory, cadata: new X509Certificate(authority.cert).raw });
    expect(() => context.loadVerifyLocations({ cadata: Buffer.of(0x30, 0x82, 1, 2) })).to.throw(Error, "neither PEM nor DER");
    context.maximumVersion = "TLSv1.3";
    context.maximumVersion = undefined;
    context.close();
    context.close();
    expect(context.closed).to.equal(true);
    expect(() => context.setCiphers("DEFAULT")).to.throw(Error, "The SSLContext is closed");
  });

  it("trusts who is loaded, and no other context is touched by that", () => {
    const verified = (context: SSLContext): boolean =>
      shake({ cert: identity.cert, key: identity.key }, context, "localhost").error === undefined;
    using defaults = createDefaultContext();
    using more = createDefaultContext();
    more.loadVerifyLocations({ cadata: authority.cert });
    using before = createDefaultContext({ cadata: authority.cert });
    before.loadDefaultCerts();
    using file1 = createDefaultContext({ cafile: file("authority.pem", authority.cert) });
    expect([defaults, more, before, file1].map(verified)).to.deep.equal([false, true, true, true]);
  });

  it("a certificate can be renewed under live connections; a bad one changes nothing", () => {
    using server = sslOptionsToContext({ cert: identity.cert, key: identity.key }, true);
    using client = createDefaultContext({ cadata: authority.cert });
    const first = shake(server, client, "localhost", true);
    const renewed = makeCertificate({ name: "localhost", issuer: authority });
    expect(() => server.loadCertChain(file("renewed.pem", renewed.cert), file("old.key", identity.key))).to.throw(Error, "does not belong");
    expect(shake(server, client, "localhost").fingerprint).to.equal(new X509Certificate(identity.cert).fingerprint256);
    server.loadCertChain(join(directory, "renewed.pem"), file("renewed.key", renewed.key));
    expect(shake(server, client, "localhost").fingerprint).to.equal(new X509Certificate(renewed.cert).fingerprint256);
    expect(first.exchange?.()).to.equal("hello");
  });

  it("sniCallback chooses the certificate: by answering, by setting, by refusing, by throwing", () => {
    using other = sslOptionsToContext(
      { ...pem(makeCertificate({ name: "other.example", issuer: authority })), alpnProtocols: ["other"] },
      true,
    );
    using server = sslOptionsToContext({ ...pem(identity), alpnProtocols: ["first"] }, true);
    using client = createDefaultContext({ cadata: authority.cert });
    client.setAlpnProtocols(["first", "other"]);
    const names: (string | undefined)[] = [];
    server.sniCallback = (socket, name, context) => {
      names.push(name);
      expect([socket.context, context]).to.deep.equal([server, server]);
      if (name === "other.example") return other;
      if (name === "refused.example") return 112;
      if (name === "thrown.example") throw new Error("not here");
      return undefined;
    };
    expect(shake(server, client, "localhost")).to.include({ error: undefined, protocol: "first" });
    expect(shake(server, client, "other.example")).to.include({ error: undefined, protocol: "other" });
    expect(shake(server, client, "refused.example").error).to.include({ code: "ERR_SSL_TLSV1_UNRECOGNIZED_NAME" });
    const thrown = shake(server, client, "thrown.example");
    expect(thrown.serverError).to.include({ code: "ERR_SSL_CALLBACK_FAILED" }).and.to.have.nested.property("cause.message", "not here");
    expect(names).to.deep.equal(["localhost", "other.example", "refused.example", "thrown.example"]);
    server.sniCallback = (socket) => {
      socket.context = other;
    };
    expect(shake(server, client, "other.example").error).to.equal(undefined);
    server.sniCallback = () => "x" as never;
    expect(shake(server, client, "localhost").serverError?.cause).to.be.instanceOf(TypeError);
    server.sniCallback = undefined;
    expect(shake(server, client, "localhost").error).to.equal(undefined);
  });

  it("ALPN selects the server's first choice that the client has, or none", () => {
    using client = createDefaultContext({ cadata: authority.cert });
    client.setAlpnProtocols(["h2", "http/1.1"]);
    for (const [protocols, selected] of [
      [["http/1.1", "h2"], "http/1.1"],
      [["ftp", "h2"], "h2"],
      [["ftp"], undefined],
      [[], undefined],
    ] as const) {
      expect(shake({ ...pem(identity), alpnProtocols: protocols }, client, "localhost").protocol).to.equal(selected);
    }
    client.setAlpnProtocols([]);
    expect(shake({ ...pem(identity), alpnProtocols: ["h2"] }, client, "localhost").protocol).to.equal(undefined);
  });

  it("protocol versions and ciphers are as they are set, at least TLS 1.2", () => {
    using client = createDefaultContext({ cadata: authority.cert });
    client.maximumVersion = "TLSv1.2";
    client.setCiphers("ECDHE+AESGCM");
    expect(shake(pem(identity), client, "localhost").version).to.equal("TLSv1.2");
    expect(shake({ ...pem(identity), minVersion: "TLSv1.3" }, client, "localhost").error).to.include({
      code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    });
    using recent = createDefaultContext({ cadata: authority.cert });
    recent.setCiphers("TLS_CHACHA20_POLY1305_SHA256");
    expect(shake(pem(identity), recent, "localhost").cipher).to.equal("TLS_CHACHA20_POLY1305_SHA256");
    client.minimumVersion = "TLSv1";
    client.maximumVersion = "TLSv1.1";
    expect(shake(pem(identity), client, "localhost").error).to.not.equal(undefined);
  });

  it("the default authorities are Node's, with those of NODE_EXTRA_CA_CERTS", () => {
    const extra = file("extra.pem", authority.cert);
    const rootCertificates = tls.rootCertificates.slice(0, 2);
    expect(defaultAuthorities({ rootCertificates }, extra)).to.deep.equal([...rootCertificates, authority.cert]);
    expect(defaultAuthorities({ rootCertificates }, join(directory, "none"))).to.deep.equal(rootCertificates);
    expect(defaultAuthorities({ rootCertificates }, "")).to.deep.equal(rootCertificates);
    const getCACertificates = (type: string): string[] => [type];
    expect(defaultAuthorities({ rootCertificates, getCACertificates }, extra)).to.deep.equal(["default"]);
    expect(defaultAuthorities().length).to.be.greaterThan(100);
  });

  it("contexts that nobody closes are freed when they are collected", async () => {
    const before = nativeTlsObjects().contexts;
    (() => {
      for (let i = 0; i < 50; i++) new SSLContext();
    })();
    expect(nativeTlsObjects().contexts).to.be.at.least(before + 50);
    for (let i = 0; i < 50 && nativeTlsObjects().contexts > before + 5; i++) {
      (globalThis as unknown as { gc: () => void }).gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(nativeTlsObjects().contexts).to.be.at.most(before + 5);
  });
});

function pem({ cert, key }: { cert: string; key: string }): SSLOptions {
  return { cert, key };
}
