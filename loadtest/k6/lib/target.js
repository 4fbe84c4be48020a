// Where the server is: `-e SUBSCRIBERS=127.0.0.1:9001 -e INGEST=127.0.0.1:9002 -e ADMIN=127.0.0.1:9003`, which are the defaults.
//
// Invariant: an address that is not this machine is refused. Load on a server of others is not ours to give, and delays are
// read from one clock.

function address(name, standard) {
  const given = __ENV[name] || standard;
  if (!/^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/.test(given)) {
    throw new Error(`${name}=${given} is not a port of this machine; these scripts load loopback only`);
  }
  return given;
}

export const subscribers = address('SUBSCRIBERS', '127.0.0.1:9001');
export const ingest = address('INGEST', '127.0.0.1:9002');
export const admin = address('ADMIN', '127.0.0.1:9003');
