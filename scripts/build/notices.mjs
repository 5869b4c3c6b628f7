/**
 * Writes what travels inside the bundles: the licences of other people's code, and a bill of materials in
 * CycloneDX's format.
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { root } from "./tools.mjs"

const LICENCES = "dist/THIRD-PARTY-LICENSES"
const MATERIALS = "dist/sbom.cdx.json"

const readJson = (file) => JSON.parse(Fs.readFileSync(Path.join(root, file), "utf8"))

/** The text of a package's licence. Fails if it has none: code may not be passed on without it. */
const licenceOf = (folder, { name, version }) => {
  const file = Fs.readdirSync(Path.join(root, folder)).find((name) => /^licen[cs]e(\.|$)/i.test(name))
  if (file === undefined) throw new Error(`${name} ${version} is bundled, and has no licence file`)
  return Fs.readFileSync(Path.join(root, folder, file), "utf8").trim()
}

/** What is in the bundles of packages, the same version once. */
const componentsOf = (folders) => {
  const components = folders.map((folder) => {
    const manifest = readJson(`${folder}/package.json`)
    return { folder, name: manifest.name, version: manifest.version, license: manifest.license,
      text: licenceOf(folder, manifest) }
  })
  const byName = new Map(components.map((component) => [`${component.name} ${component.version}`, component]))
  return [...byName.values()].toSorted((a, b) => a.name < b.name ? -1 : 1)
}

const RULE = "-".repeat(80)

const licencesText = (components) =>
  [
    "The bundles of nomyo-js hold code of these packages, under their own licences.",
    ...components.map(({ license, name, text, version }) =>
      `${RULE}\n${name} ${version} (${license})\n${RULE}\n\n${text}`
    )
  ].join("\n\n") + "\n"

const purl = (name, version) => `pkg:npm/${name.replace("@", "%40")}@${version}`

/** The digest that the lock file holds an installed package to. */
const hashesOf = (lock, folder) => {
  const [, base64] = /^sha512-(.+)$/.exec(lock.packages[folder]?.integrity ?? "") ?? []
  return base64 === undefined
    ? {}
    : { hashes: [{ alg: "SHA-512", content: Buffer.from(base64, "base64").toString("hex") }] }
}

const componentOf = (lock) => ({ folder, license, name, version }) => ({
  type: "library",
  "bom-ref": purl(name, version),
  name,
  version,
  licenses: [{ license: { id: license } }],
  purl: purl(name, version),
  ...hashesOf(lock, folder)
})

/** A UUID of the materials: the same build has the same bill. */
const serialNumber = (text) => {
  const hex = createHash("sha256").update(text).digest("hex")
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${
    hex.slice(20, 32)
  }`
}

/** CycloneDX 1.6: this package, and what is bundled into it. */
const billOfMaterials = (components) => {
  const { license, name, version } = readJson("package.json")
  const lock = readJson("package-lock.json")
  const listed = components.map(componentOf(lock))
  const self = purl(name, version)
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: serialNumber(JSON.stringify([self, listed])),
    version: 1,
    metadata: {
      component: { type: "library", "bom-ref": self, name, version, licenses: [{ license: { id: license } }],
        purl: self }
    },
    components: listed,
    dependencies: [{ ref: self, dependsOn: listed.map((component) => component["bom-ref"]) }]
  }
}

export const buildNotices = ({ bundles, command, library }) => {
  const folders = [library, bundles, command].flatMap(({ packages }) => packages)
  const components = componentsOf([...new Set(folders)])
  Fs.writeFileSync(Path.join(root, LICENCES), licencesText(components))
  Fs.writeFileSync(Path.join(root, MATERIALS),
    `${JSON.stringify(billOfMaterials(components), undefined, 2)}\n`)
  return { outputs: [LICENCES, MATERIALS] }
}
