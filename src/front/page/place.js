// Where one is: order, filter and open symbol, kept in the address, so that a reload and a link lead back.

const DEFAULT = { sort: "turnover", down: true, filter: "", open: "" };

/** What the address says, with defaults for what it does not. */
export function read(columns) {
  const said = new URLSearchParams(location.hash.slice(1));
  const sort = said.get("sort") ?? "";
  const known = columns.includes(sort);
  return {
    sort: known ? sort : DEFAULT.sort,
    down: known ? said.get("down") !== "0" : DEFAULT.down,
    filter: (said.get("filter") ?? "").slice(0, 64),
    open: (said.get("open") ?? "").slice(0, 128),
  };
}

/** Writes down what differs from the defaults. The way back in history stays what it was before this page. */
export function write({ sort, down, filter, open }) {
  const said = new URLSearchParams();
  if (sort !== DEFAULT.sort || down !== DEFAULT.down) {
    said.set("sort", sort);
    said.set("down", down ? "1" : "0");
  }
  if (filter) said.set("filter", filter);
  if (open) said.set("open", open);
  const hash = said.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}
