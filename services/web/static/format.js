// Numbers, sizes, times and page ranges, formatted for display.

const count = new Intl.NumberFormat(undefined);
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const units = ["bytes", "KB", "MB", "GB"];

export const number = (value) => count.format(value);

export const plural = (value, one, many = `${one}s`) => `${count.format(value)} ${value === 1 ? one : many}`;

export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function moment(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const sameDay = at.toDateString() === new Date().toDateString();
  return sameDay ? `Today, ${clock.format(at)}` : `${date.format(at)}, ${clock.format(at)}`;
}

export function seconds(value) {
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const [minutes, rest] = [Math.floor(value / 60), Math.floor(value % 60)];
  return minutes < 10 && rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

export const percent = (share) => `${Math.round(100 * share)}%`;

// Ranges of sorted page numbers: [1, 2, 3, 7, 9, 10] -> [[1, 3], [7, 7], [9, 10]].
export function runs(pages) {
  const found = [];
  for (const page of pages) {
    const last = found.at(-1);
    if (last && last[1] === page - 1) last[1] = page;
    else found.push([page, page]);
  }
  return found;
}
