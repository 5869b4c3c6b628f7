/**
 * Markdown as DOM nodes. A model writes it, so nothing of it becomes markup: the parser gives a tree, each
 * kind of node is made by its name here, and everything else is text.
 */
import type { AlignType, Definition, List, Nodes, Parents, Table } from "mdast"
import { fromMarkdown } from "mdast-util-from-markdown"
import { gfmFromMarkdown } from "mdast-util-gfm"
import { gfm } from "micromark-extension-gfm"
import { copyButton, element } from "./dom.js"

/** A message's own title is an `h3`. */
const TITLE_LEVEL = 3
const LOWEST_LEVEL = 6

type Definitions = ReadonlyMap<string, Definition>

/** A link may lead to a page or start a mail. It never runs a script or reads a file. */
const safeUrl = (url: string): string | undefined => {
  // relative URLs would lead to this server
  if (!URL.canParse(url)) return undefined
  return /^(?:https?|mailto):$/.test(new URL(url).protocol) ? url : undefined
}

const link = (url: string, title: string | null | undefined, children: ReadonlyArray<Node | string>) => {
  const href = safeUrl(url)
  if (href === undefined) return element("span", {}, ...children)
  const properties = { href, target: "_blank", rel: "noopener noreferrer nofollow", title: title ?? "" }
  return element("a", properties, ...children)
}

/** An image would tell its server that the answer is being read: it is shown as a link. */
const image = (url: string, alt: string | null | undefined) => link(url, undefined, [`image: ${alt || url}`])

const code = (text: string, language: string | null | undefined) => {
  const content = element("code", { textContent: text })
  const pre = element("pre", { tabIndex: 0 }, content)
  const bar = element("div", { className: "bar" }, element("span", { textContent: language || "text" }))
  bar.append(copyButton(() => text))
  return element("div", { className: "code" }, bar, pre)
}

const list = (node: List, definitions: Definitions) => {
  const items = node.children.map((item) => {
    const mark = typeof item.checked === "boolean" ? [item.checked ? "☑ " : "☐ "] : []
    return element("li", {}, ...mark, ...childrenOf(item, definitions))
  })
  if (node.ordered !== true) return element("ul", {}, ...items)
  return element("ol", { start: node.start ?? 1 }, ...items)
}

const cellOf = (name: "th" | "td", align: AlignType | undefined, children: ReadonlyArray<Node | string>) =>
  element(name, { className: align ?? "" }, ...children)

const table = ({ align, children: rows }: Table, definitions: Definitions) => {
  const [head, ...body] = rows.map(({ children: cells }, index) =>
    element("tr", {}, ...cells.map((cell, column) =>
      cellOf(index === 0 ? "th" : "td", align?.[column], childrenOf(cell, definitions)))))
  const made = element("table", {}, element("thead", {}, head!), element("tbody", {}, ...body))
  return element("div", { className: "table", tabIndex: 0 }, made)
}

const heading = (depth: number, children: ReadonlyArray<Node | string>) => {
  const level = Math.min(TITLE_LEVEL + depth, LOWEST_LEVEL) as 4 | 5 | 6
  return element(`h${level}`, {}, ...children)
}

const reference = (
  { identifier, label }: { readonly identifier: string; readonly label?: string | null | undefined },
  definitions: Definitions,
  make: (definition: Definition) => Node
): Node | string => {
  const definition = definitions.get(identifier)
  return definition === undefined ? `[${label ?? identifier}]` : make(definition)
}

/** A leaf of the tree as DOM; `undefined` for a node with children. */
const leafOf = (node: Nodes, definitions: Definitions): Node | string | undefined => {
  switch (node.type) {
    case "text": return node.value
    case "html": return node.value
    case "inlineCode": return element("code", { textContent: node.value })
    case "code": return code(node.value, node.lang)
    case "break": return element("br")
    case "thematicBreak": return element("hr")
    case "image": return image(node.url, node.alt)
    case "imageReference": return reference(node, definitions, ({ url }) => image(url, node.alt))
    case "footnoteReference": return element("sup", { textContent: node.label ?? node.identifier })
    case "definition": return ""
    default: return undefined
  }
}

const branchOf = (node: Parents, definitions: Definitions): Node | string => {
  const children = () => childrenOf(node, definitions)
  switch (node.type) {
    case "paragraph": return element("p", {}, ...children())
    case "heading": return heading(node.depth, children())
    case "emphasis": return element("em", {}, ...children())
    case "strong": return element("strong", {}, ...children())
    case "delete": return element("del", {}, ...children())
    case "blockquote": return element("blockquote", {}, ...children())
    case "list": return list(node, definitions)
    case "table": return table(node, definitions)
    case "link": return link(node.url, node.title, children())
    case "linkReference":
      return reference(node, definitions, ({ title, url }) => link(url, title, children()))
    default: return element("div", {}, ...children())
  }
}

const childrenOf = ({ children }: Parents, definitions: Definitions): ReadonlyArray<Node | string> =>
  children.map((node) => leafOf(node, definitions) ?? branchOf(node as Parents, definitions))

/** A text in GitHub's Markdown as nodes. */
export const render = (text: string): ReadonlyArray<Node | string> => {
  const root = fromMarkdown(text, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] })
  const definitions = new Map(root.children.flatMap((node) =>
    node.type === "definition" ? [[node.identifier, node] as const] : []))
  return childrenOf(root, definitions)
}
