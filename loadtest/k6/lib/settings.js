// Numbers from the command line (`-e NAME=value`), each with a default and a range.
//
// Must not be read elsewhere by `__ENV`: a value that is no number would otherwise be a threshold that always passes.

// `standard` where nothing is given. Throws when the value is outside `least` to `most`, or no number.
export function number(name, standard, least, most) {
  const text = __ENV[name];
  const value = text === undefined || text === '' ? standard : Number(text);
  if (!(value >= least && value <= most)) {
    throw new Error(`${name}=${text} cannot be; write a number from ${least} to ${most}`);
  }
  return value;
}

// How long to run, in seconds: SECONDS, or MINUTES, or `standard`.
export function seconds(standard) {
  return number('SECONDS', number('MINUTES', standard / 60, 0.1, 24 * 60) * 60, 5, 24 * 3600);
}

// A bound on a time, in milliseconds: NAME, or `standard`; times SLACK, for machines that are shared with others.
export function boundMs(name, standard) {
  return number(name, standard, 1, 60_000) * number('SLACK', 1, 1, 100);
}
