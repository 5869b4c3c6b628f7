/** Where the command line keeps what it has made for one user. */
import * as Os from "node:os"
import * as Path from "node:path"

/** `XDG_STATE_HOME` counts only if it is absolute (XDG Base Directory Specification, "Basics"). */
const stateHome = (): string => {
  const { LOCALAPPDATA, XDG_STATE_HOME } = process.env
  if (XDG_STATE_HOME !== undefined && Path.isAbsolute(XDG_STATE_HOME)) return XDG_STATE_HOME
  if (process.platform === "win32" && LOCALAPPDATA) return LOCALAPPDATA
  return Path.join(Os.homedir(), ".local", "state")
}

/** The directory of the key pair that `nomyo keys` makes and `nomyo chat` uses. */
export const stateKeyDir = (): string => Path.join(stateHome(), "nomyo", "keys")

/** For help pages. */
export const STATE_KEY_DIR = "nomyo/keys in the user's state directory (XDG_STATE_HOME, or ~/.local/state)"
