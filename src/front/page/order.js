// Which rows the watch list has, and in which order. Pure: a column, a direction and a filter in, rows out.

/** The columns, as they stand. `of` gives what is compared; what is not known comes last, whichever way. */
export const COLUMNS = [
  { key: "symbol", title: "Symbol", of: (row) => row.name, isText: true },
  { key: "last", title: "Last", of: (row) => row.lastValue },
  { key: "change", title: "24h change", of: (row) => row.changeValue },
  { key: "bid", title: "Bid", of: (row) => row.bidValue },
  { key: "ask", title: "Ask", of: (row) => row.askValue },
  { key: "turnover", title: "24h volume", of: (row) => row.turnoverValue },
  { key: "trend", title: "5 min", of: (row) => row.trend },
];

/** The rows that the filter lets through: those whose name holds any of its words. */
export function filtered(rows, filter) {
  const words = filter.toUpperCase().split(/[\s,]+/).filter((word) => word !== "");
  const all = [...rows];
  return words.length === 0 ? all : all.filter((row) => words.some((word) => row.name.includes(word)));
}

/** Sorts in place; rows that are alike stand by name, so that none changes its place for nothing. */
export function sort(rows, key, down) {
  const column = COLUMNS.find((column) => column.key === key);
  const way = down ? -1 : 1;
  const { of } = column;
  const byName = (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name));
  if (column.isText) return rows.sort((a, b) => way * byName(a, b));
  return rows.sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === y) return byName(a, b);
    if (Number.isNaN(x)) return Number.isNaN(y) ? byName(a, b) : 1;
    if (Number.isNaN(y)) return -1;
    return way * (x - y);
  });
}
