# What start and test both need before anything else: Node and the packages. Meant to be sourced.

say_error() { echo "$*" >&2; }

require_node() {
  if ! command -v node >/dev/null 2>&1; then
    say_error "Node.js 20 or later is needed, and no \"node\" is on PATH. See https://nodejs.org/en/download"
    exit 1
  fi
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  if [ "$major" -lt 20 ]; then
    say_error "Node.js 20 or later is needed; this is $(node --version)."
    exit 1
  fi
  if ! command -v npm >/dev/null 2>&1; then
    say_error "npm is required, but not on PATH."
    exit 1
  fi
}

# npm ci where package-lock.json is another than the one installed last. Install scripts are not needed: the links the
# embedded Postgres wants are made by scripts/stores/postgres.ts.
install_packages() {
  local mark=node_modules/.switchyard-installed
  if [ -e "$mark" ] && cmp -s package-lock.json "$mark"; then return; fi
  local since=$SECONDS
  echo "Installing packages: a minute or two, and npm prints nothing until it is done…"
  npm ci --include=dev --no-audit --no-fund --loglevel=error
  cp package-lock.json "$mark"
  echo "Packages installed in $((SECONDS - since)) s."
}

# Installs Debian packages where a program is missing. Says what follows where it can't.
# usage: apt_install_missing PROGRAM PACKAGE WHAT_FOR
apt_install_missing() {
  if command -v "$1" >/dev/null 2>&1; then return 0; fi
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing $2 ($3)…"
    if [ -z "${APT_UPDATED:-}" ]; then
      apt-get -qq update >/dev/null || true
      APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends "$2" >/dev/null || true
  fi
  if command -v "$1" >/dev/null 2>&1; then return 0; fi
  say_error "$1 is missing ($3) and could not be installed: that needs apt-get and root. Install \"$2\" yourself."
  return 1
}
