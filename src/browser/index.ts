/**
 * What a page loads by URL, in one module: `dist/browser/index.js` is bundled from this.
 *
 * @since 0.2.0
 */
export * from "../promise/index.js"
