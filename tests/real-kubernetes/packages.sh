# Debian packages, installed so that nothing else becomes of the machine: no package has to go for them, and no service of theirs runs.
# Sourced after lib.sh by `install-packages`, here and in .ci.
# shellcheck shell=bash

# Whether a package may start its services is asked of this program, where there is one.
POLICY=/usr/sbin/policy-rc.d
POLICY_BEFORE=$POLICY.before-chaos-toolkit
# The line by which a policy of ours is known, also one that a killed run has left.
POLICY_MARK='# chaos-toolkit: nothing is started while packages are installed'

# install_packages PACKAGE...: those that are missing. A package that is called as its program is there with it, wherever that came from:
# docker's containerd.io brings containerd and runc, and those of Debian would take its place.
install_packages() {
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null) == *"ok installed" ]] || command -v "$package" >/dev/null || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || die "these packages are missing: ${missing[*]} (hint: install them, or run as root)"
  need apt-get flock
  # One after the other, as each puts back the policy that it found.
  (
    flock 9
    trap restore_policy EXIT
    forbid_services && DEBIAN_FRONTEND=noninteractive apt_install "${missing[@]}"
  ) 9>/run/chaos-toolkit-packages.lock ||
    die "failed to install ${missing[*]}, and nothing was removed for them (hint: apt-get install --simulate ${missing[*]} says what is in the way)"
  say "installed: ${missing[*]}"
}

apt_install() {
  apt-get update -qq || return
  apt-get install -y -qq --no-remove --no-install-recommends "$@" >/dev/null || return
  # Nor do they start with the machine from now on.
  ! command -v systemctl >/dev/null || dpkg-query --listfiles "$@" | sed -nE 's#.*/systemd/system/([^/@]+\.(service|socket|timer))$#\1#p' |
    xargs --no-run-if-empty systemctl --quiet disable || say "failed to disable the services of $*, which start with this machine"
}

forbid_services() {
  restore_policy
  [[ ! -e $POLICY ]] || mv "$POLICY" "$POLICY_BEFORE" || return
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

restore_policy() {
  ! grep --quiet --no-messages --fixed-strings --line-regexp "$POLICY_MARK" "$POLICY" || rm -f "$POLICY"
  [[ ! -e $POLICY_BEFORE ]] || mv "$POLICY_BEFORE" "$POLICY"
}
