/** The few things that the page does with the document. None of them takes markup. */

/** The element of an id that is in the page. */
export const byId = <E extends HTMLElement = HTMLElement>(id: string): E => {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`The page has no #${id}`)
  return found as E
}

type Child = Node | string

/** A new element. Strings become text. */
export const element = <Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Partial<HTMLElementTagNameMap[Name]> = {},
  ...children: ReadonlyArray<Child>
): HTMLElementTagNameMap[Name] => {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

/** A button that copies a text, and confirms that on the screen and to screen readers. */
export const copyButton = (text: () => string): HTMLButtonElement => {
  const button = element("button", { type: "button", className: "copy", textContent: "Copy" })
  button.setAttribute("aria-live", "polite")
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(text()).then(() => true, () => false)
    button.textContent = copied ? "Copied" : "Not allowed"
    setTimeout(() => (button.textContent = "Copy"), 2000)
  })
  return button
}
