/** S162-S170: who is trusted, and which names are accepted. The matrix of bad certificates of issue 5 is here too. */
import { expect } from "chai";
import * as tls from "node:tls";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { SSLIOStream, type StreamClosedError } from "../../src/iostream/index.js";
import { Socket } from "../../src/platform/index.js";
import {
  CERT_NONE,
  CERT_OPTIONAL,
  CERT_REQUIRED,
  createDefaultContext,
  SSLContext,
  SSLError,
  type SSLOptions,
} from "../../src/ssl/index.js";
import { type Identity, makeCertificate, testAuthority } from "../support/certificates.js";
import { expectLog } from "../support/log-records.js";
import { eachStream, failure, type StreamTest, usual } from "./kinds.js";
import { clientOptions, serverOptions, tlsPair, unconnected } from "./tls-streams.js";

/** Shakes hands with a server of this certificate: `undefined`, or the client's error. The server fails too, or sees the close. */
async function outcome(
  test: StreamTest,
  identity: Identity,
  sslOptions: SSLOptions | SSLContext,
  serverHostname?: string,
): Promise<SSLError | undefined> {
  const { cert, chain, key } = identity;
  const { server, client } = tlsPair(test, { sslOptions: { cert: chain || cert, key } }, { sslOptions, serverHostname });
  let closed = 0;
  let late: Error | undefined;
  client.setCloseCallback(() => {
    closed++;
    late = client.error;
  });
  server.setCloseCallback(() => undefined);
  server.waitForHandshake();
  try {
    await client.waitForHandshake();
    expect(client.socket._verified).to.equal(true);
    return undefined;
  } catch (error) {
    const { realError } = error as StreamClosedError;
    expect(realError).to.be.instanceOf(SSLError).and.to.equal(client.error);
    // S165, S166: it is there before the close callback runs, and the other end does not hang.
    await test.until(() => closed === 1 && server.closed());
    expect(late).to.equal(realError);
    return realError as SSLError;
  }
}

interface BadCertificate {
  readonly what: string;
  readonly make: () => Identity;
  readonly code: string;
  readonly message: RegExp;
  readonly name?: string;
  /** The name check is what refuses: a context without it accepts. */
  readonly names?: true;
}

const issuer = testAuthority;
const stranger = makeCertificate({ name: "Unknown authority", ca: true });
const intermediate = makeCertificate({ name: "Intermediate", issuer: issuer(), ca: true });

const badCertificates: BadCertificate[] = [
  {
    what: "expired",
    make: () => makeCertificate({ name: "localhost", issuer: issuer(), from: -20, until: -10 }),
    code: "CERT_HAS_EXPIRED",
    message: /expired/,
  },
  {
    what: "not yet valid",
    make: () => makeCertificate({ name: "localhost", issuer: issuer(), from: 10 }),
    code: "CERT_NOT_YET_VALID",
    message: /not yet valid/,
  },
  { what: "self-signed", make: () => makeCertificate({ name: "localhost" }), code: "DEPTH_ZERO_SELF_SIGNED_CERT", message: /self.signed/ },
  {
    what: "for another host",
    make: () => makeCertificate({ name: "localhost", issuer: issuer(), altNames: ["other.example"] }),
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
    message: /not valid for "localhost": hostname mismatch/i,
    names: true,
  },
  {
    what: "of an authority nobody knows",
    make: () => makeCertificate({ name: "localhost", issuer: { ...stranger, chain: "" } }),
    code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    message: /unable to get local issuer/,
  },
  {
    what: "of an authority nobody knows, which is sent along",
    make: () => makeCertificate({ name: "localhost", issuer: stranger }),
    code: "SELF_SIGNED_CERT_IN_CHAIN",
    message: /self.signed certificate in certificate chain/,
  },
  {
    what: "for clients only",
    make: () => makeCertificate({ name: "localhost", issuer: issuer(), purpose: "client" }),
    code: "INVALID_PURPOSE",
    message: /purpose/,
  },
  {
    what: "with the name in the common name only",
    make: () => makeCertificate({ name: "localhost", issuer: issuer(), altNames: [] }),
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
    message: /hostname mismatch/i,
    names: true,
  },
  {
    what: "for an address, without an IP name",
    make: () => makeCertificate({ name: "127.0.0.1", issuer: issuer(), altNames: ["localhost"] }),
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
    message: /not valid for "127\.0\.0\.1": IP address mismatch/i,
    name: "127.0.0.1",
    names: true,
  },
  {
    what: "without its intermediate",
    make: () => ({ ...makeCertificate({ name: "localhost", issuer: intermediate }), chain: "" }),
    code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    message: /unable to get local issuer/,
  },
];

describe("Verification of TLS streams", () => {
  eachStream(
    (it) => {
      for (const { what, make, code, message, name = "localhost", names } of badCertificates) {
        it(`S162 S163 S165 S166 a certificate that is ${what} is refused, unless the check is off by name`, async (test) => {
          const identity = make();
          const error = await outcome(test, identity, clientOptions(), name);
          expect(error?.code).to.equal(code);
          expect(error?.message)
            .to.match(/^The server's certificate is not /)
            .and.to.match(message);
          expectLog("general", "warn", new RegExp(`^SSL Error on \\d+ 127\\.0\\.0\\.1:\\d+\\n(.|\\n)*${code}`), 1);
          // The server hears of it by an alert, in a read if its handshake was done.
          expectLog("general", "warn", /^(SSL Error on|error on read)(.|\n)*alert/, "any");
          for (const off of [{ rejectUnauthorized: false }, { certReqs: CERT_NONE } as const]) {
            expect(await outcome(test, identity, { ...clientOptions(), ...off }, name)).to.equal(undefined);
          }
          using context = createDefaultContext({ cadata: issuer().cert });
          context.checkHostname = false;
          const checked = await outcome(test, identity, context, name);
          expect(checked?.code).to.equal(names === true ? undefined : code);
          if (names === true) return;
          expectLog("general", "warn", new RegExp(`^SSL Error on(.|\\n)*${code}`), 1);
          context.verifyMode = CERT_NONE;
          expect(await outcome(test, identity, context, name)).to.equal(undefined);
        });
      }

      it("S162 good ones are accepted: a chain, a wildcard, a name in another case, with a final dot, beyond ASCII", async (test) => {
        const chained = makeCertificate({ name: "localhost", issuer: intermediate });
        expect(await outcome(test, chained, clientOptions(), "localhost")).to.equal(undefined);
        const names = makeCertificate({ name: "x", issuer: issuer(), altNames: ["*.example.com", "xn--bcher-kva.example"] });
        for (const name of ["a.example.com", "A.Example.COM", "a.example.com.", "bücher.example"]) {
          expect(await outcome(test, names, clientOptions(), name), name).to.equal(undefined);
        }
        for (const name of ["example.com", "a.b.example.com"]) {
          expect((await outcome(test, names, clientOptions(), name))?.code, name).to.equal("ERR_TLS_CERT_ALTNAME_INVALID");
        }
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S163 foo.example.com connects, bar.example.com fails, and connects where a context does not check", async (test) => {
        const identity = makeCertificate({ name: "foo.example.com", issuer: issuer() });
        expect(await outcome(test, identity, clientOptions(), "foo.example.com")).to.equal(undefined);
        expect((await outcome(test, identity, clientOptions(), "bar.example.com"))?.code).to.equal("ERR_TLS_CERT_ALTNAME_INVALID");
        using context = createDefaultContext({ cadata: issuer().cert });
        context.checkHostname = false;
        expect(await outcome(test, identity, context, "bar.example.com")).to.equal(undefined);
        expect(await outcome(test, identity, context)).to.equal(undefined);
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S164 with verification off any certificate will do, with or without a name", async (test) => {
        const identity = makeCertificate({ name: "whoever", from: -20, until: -10 });
        using fresh = new SSLContext();
        for (const options of [{ rejectUnauthorized: false }, { certReqs: CERT_NONE } as const, fresh]) {
          expect(await outcome(test, identity, options)).to.equal(undefined);
          expect(await outcome(test, identity, options, "somebody")).to.equal(undefined);
        }
        expect((await outcome(test, identity, {}, "whoever"))?.code).to.equal("DEPTH_ZERO_SELF_SIGNED_CERT");
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S167 names are checked and none is given: connect fails with a RangeError, and no name is made up", async (test) => {
        const { client, listener, port } = unconnected(test);
        const error = (await failure(client.connect(["127.0.0.1", port]))) as StreamClosedError;
        expect(error.realError)
          .to.be.instanceOf(RangeError)
          .and.to.have.property("message")
          .that.matches(/no serverHostname is given/);
        listener.close();
      });

      it("S168 an address is checked against IP names, is not sent, and nobody warns", async (test) => {
        const warnings: Error[] = [];
        const listener = (warning: Error): number => warnings.push(warning);
        process.on("warning", listener);
        const asked: (string | undefined)[] = [];
        const identity = makeCertificate({ name: "x", issuer: issuer(), altNames: ["127.0.0.1", "fe80::1"] });
        const sslOptions = {
          cert: identity.cert,
          key: identity.key,
          sniCallback: (_: unknown, name: string | undefined) => void asked.push(name),
        };
        for (const name of ["127.0.0.1", "fe80::1", "fe80::1%lo"]) {
          const { client, server } = tlsPair(test, { sslOptions }, { serverHostname: name });
          await Promise.all([client.waitForHandshake(), server.waitForHandshake()]);
        }
        expect((await outcome(test, identity, clientOptions(), "127.0.0.2"))?.code).to.equal("ERR_TLS_CERT_ALTNAME_INVALID");
        await new Promise((resolve) => setImmediate(resolve));
        process.off("warning", listener);
        expect([asked, warnings]).to.deep.equal([[undefined, undefined, undefined], []]);
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S169 a context and the options that describe it behave alike", async (test) => {
        using context = createDefaultContext({ cadata: issuer().cert });
        context.setAlpnProtocols(["one"]);
        for (const options of [context, clientOptions({ alpnProtocols: ["one"] })]) {
          const { client, server } = tlsPair(
            test,
            { sslOptions: serverOptions({ alpnProtocols: ["two", "one"] }) },
            { sslOptions: options },
          );
          await Promise.all([client.waitForHandshake(), server.waitForHandshake()]);
          expect(client.socket.selectedAlpnProtocol()).to.equal("one");
          expect(client.socket.context.verifyMode).to.equal(CERT_REQUIRED);
        }
      });

      it("S170 a server that asks gets the client's certificate", async (test) => {
        const own = makeCertificate({ name: "alice", issuer: issuer(), purpose: "client" });
        const ca = issuer().cert;
        for (const ask of [{ requestCert: true }, { certReqs: CERT_REQUIRED }, { certReqs: CERT_OPTIONAL }] as const) {
          const { server, client } = tlsPair(
            test,
            { sslOptions: serverOptions({ ...ask, ca }) },
            { sslOptions: clientOptions({ cert: own.cert, key: own.key }) },
          );
          await Promise.all([client.waitForHandshake(), server.waitForHandshake()]);
          expect(server.socket.getpeercert()?.subject).to.equal("CN=alice");
        }
        const { server, client } = tlsPair(test, { sslOptions: serverOptions({ certReqs: CERT_OPTIONAL, ca }) });
        await Promise.all([client.waitForHandshake(), server.waitForHandshake()]);
        expect(server.socket.getpeercert()).to.equal(undefined);
      });

      it("S170 one that is missing, or not valid, closes both ends", async (test) => {
        const ca = issuer().cert;
        const bad = makeCertificate({ name: "mallory", purpose: "client" });
        const wrong = makeCertificate({ name: "alice", issuer: issuer(), purpose: "server" });
        for (const [own, certReqs, code] of [
          [undefined, CERT_REQUIRED, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"],
          [bad, CERT_OPTIONAL, "DEPTH_ZERO_SELF_SIGNED_CERT"],
          [wrong, CERT_REQUIRED, "INVALID_PURPOSE"],
        ] as const) {
          const mine = own === undefined ? {} : { cert: own.cert, key: own.key };
          const { server, client } = tlsPair(test, { sslOptions: serverOptions({ certReqs, ca }) }, { sslOptions: clientOptions(mine) });
          client.setCloseCallback(() => undefined);
          expect(((await failure(server.waitForHandshake())) as StreamClosedError).realError).to.include({ code });
          // TLS 1.3: the client was done before the server looked, and meets the alert in its next read.
          await test.until(() => client.closed());
        }
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S165 TLS 1.2 alike", async (test) => {
        const maxVersion = "TLSv1.2";
        const { server, client } = tlsPair(test, {}, { sslOptions: clientOptions({ maxVersion }) });
        await Promise.all([client.waitForHandshake(), server.waitForHandshake()]);
        expect(client.socket.version()).to.equal("TLSv1.2");
        expect((await outcome(test, makeCertificate({ name: "localhost" }), clientOptions({ maxVersion }), "localhost"))?.code).to.equal(
          "DEPTH_ZERO_SELF_SIGNED_CERT",
        );
        expectLog("general", "warn", /^(SSL Error on|error on read)/, "any");
      });

      it("S162 the default roots are Node's: a public name's certificate of our own is refused by connect", async (test) => {
        const { cert, key } = makeCertificate({ name: "example.com" });
        const server = tls.createServer({ cert, key }, (socket) => socket.end()).listen(0, "127.0.0.1");
        server.on("tlsClientError", () => undefined);
        await once(server, "listening");
        const client = test.track(new SSLIOStream(new Socket(), { ioLoop: test.loop }));
        const connecting = client.connect(["127.0.0.1", (server.address() as AddressInfo).port], { serverHostname: "example.com" });
        expect(((await failure(connecting)) as StreamClosedError).realError).to.include({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
        server.close();
        await once(server, "close");
        expectLog("general", "warn", /^SSL Error on/);
      });
    },
    { kinds: ["tcp"], combinations: usual },
  );
});
