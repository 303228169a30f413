import { expect } from "chai";
import dns from "node:dns";
import sinon from "sinon";
import { type InetAddress, SO_ACCEPTCONN, SO_ERROR, SO_REUSEPORT, Socket, SOL_SOCKET } from "../../src/platform/index.js";
import { bindSockets } from "../../src/net/index.js";
import { bindUnusedPort, refusingPort } from "../../src/testing/index.js";

describe("unused ports", () => {
  it("N102 gives a socket that listens on 127.0.0.1, without asking for a name", () => {
    const lookup = sinon.spy(dns, "lookup");
    const [socket, port] = bindUnusedPort();
    expect(socket.getsockname()).to.deep.equal(["127.0.0.1", port]);
    expect(port).to.be.greaterThan(0);
    expect(socket.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)).to.equal(1);
    expect(socket.getsockopt(SOL_SOCKET, SO_REUSEPORT)).to.equal(0);
    expect(lookup.callCount).to.equal(0);
    socket.close();
    const [shared] = bindUnusedPort(true, "127.0.0.2");
    expect((shared.getsockname() as InetAddress)[0]).to.equal("127.0.0.2");
    expect(shared.getsockopt(SOL_SOCKET, SO_REUSEPORT)).to.equal(1);
    shared.close();
  });

  it("N102 gives a port that refuses connections, and that nobody gets, until cleanup", () => {
    const [cleanup, port] = refusingPort();
    expect(() => bindSockets(port, "127.0.0.1"))
      .to.throw()
      .with.property("code", "EADDRINUSE");
    using caller = new Socket();
    // On the loopback the answer is there by the time of the next question.
    const answer = caller.connectEx(["127.0.0.1", port]);
    expect(answer === 115 ? caller.getsockopt(SOL_SOCKET, SO_ERROR) : answer).to.equal(111);
    cleanup();
    const [socket] = bindSockets(port, "127.0.0.1");
    socket!.close();
  });
});
