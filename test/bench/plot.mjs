/** A bar chart as SVG: groups of horizontal bars on a logarithmic axis. */
const colours = ["#2b6cb0", "#dd6b20", "#718096", "#805ad5"]
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

export const plot = ({ groups, title }) => {
  const bar = 16
  const gap = 14
  const [left, width, top] = [190, 420, 44]
  const largest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ value }) => value)))
  const scale = (value) => width * Math.log10(Math.max(1, value) * 1.05) / Math.log10(largest * 1.4)
  let y = top
  const parts = []
  for (const { bars, name } of groups) {
    parts.push(`<text x="12" y="${y + 12}" font-weight="bold">${escape(name)}</text>`)
    bars.forEach(({ label, value }, i) => {
      parts.push(
        `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escape(label)}</text>`,
        `<rect x="${left}" y="${y + 1}" width="${Math.max(2, scale(value)).toFixed(1)}" height="${
          bar - 3
        }" fill="${colours[i % colours.length]}"/>`,
        `<text x="${(left + Math.max(2, scale(value)) + 6).toFixed(1)}" y="${y + 12}">${
          value.toFixed(2)
        }</text>`
      )
      y += bar
    })
    y += gap
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 70}" height="${y}" viewBox="0 0 ${
    left + width + 70
  } ${y}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="12" y="22" font-size="14">${escape(title)}</text>
${parts.join("\n")}
</svg>
`
}
