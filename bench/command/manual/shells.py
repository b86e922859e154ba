"""Completions for bash, zsh and fish, from the options that the help texts list."""

import re

from texts import option_values

# What a command takes besides options, by the words of its usage.
OPERANDS = {"backends": "backends", "compare": "workloads", "help": "commands"}


def operand(command):
    """"traces", "workloads", "backends", "files", "folders" or "" : what stands behind a command."""
    if command.name in OPERANDS:
        return OPERANDS[command.name]
    usage = " ".join(command.usage)
    if re.search(r"\bDIR( \[DIR|$)", usage):
        return "folders"
    if re.search(r"[A-Z]\.hgt\b", re.sub(r"-o \S+", "", usage)):
        return "traces"
    return "files" if re.search(r"\b(FILE|COMMAND \[ARG)", usage) else ""


def quoted(text):
    """A word in single quotes, for any of the three."""
    return "'" + text.replace("'", "'\\''") + "'"


def first_sentence(text):
    return re.split(r"[;:](?:\s|$)", text.replace("[", "(").replace("]", ")"))[0]


# ---- bash ----

BASH = r"""# Completion of heapgauge for bash. Made from `heapgauge help`; not to be edited.

declare -gA _heapgauge_options=(
@OPTIONS@)
# What stands behind an option: words, or @file @folder @backends.
declare -gA _heapgauge_values=(
@VALUES@)
declare -gA _heapgauge_operands=(
@OPERANDS@)
_heapgauge_commands="@COMMANDS@ help"
_heapgauge_backends="@BACKENDS@ all"

# Benchmarks, as the program itself lists them.
_heapgauge_workloads() {
    "$1" bench --backend=core --benchmark_list_tests 2>/dev/null | sed 's|/backend:[^/]*||'
}

# Files that begin with $1 and, but for folders, end with $2.
_heapgauge_files() {
    local file
    compgen -f -- "$1" | while IFS= read -r file; do
        if [[ -d $file ]]; then printf '%s/\n' "$file"; elif [[ $file == *"$2" ]]; then printf '%s\n' "$file"; fi
    done
}

# Candidates of a kind for the word $2.
_heapgauge_candidates() {
    local list=""
    case $1 in
    @file) _heapgauge_files "$2" "" ;;
    @folder) compgen -d -S / -- "$2" ;;
    @traces) _heapgauge_files "$2" .hgt ;;
    @workloads) compgen -W "$(_heapgauge_workloads "$3")" -- "$2" && : ; _heapgauge_files "$2" .hgt ;;
    @backends)
        [[ $2 != *,* ]] || list="${2%,*},"
        compgen -P "$list" -W "$_heapgauge_backends" -- "${2##*,}" && : ; _heapgauge_files "$2" .so ;;
    @commands) compgen -W "$_heapgauge_commands" -- "$2" ;;
    *) compgen -W "$1" -- "$2" ;;
    esac
}

_heapgauge() {
    local program=${COMP_WORDS[0]} line=${COMP_LINE:0:COMP_POINT} word command="" kind="" known="" cut
    word=${line##*[[:space:]]}
    read -r _ command _ <<<"$line"
    COMPREPLY=()
    if [[ $line != *[[:space:]]*[[:space:]]* ]]; then # the first word is being typed
        mapfile -t COMPREPLY < <(compgen -W "$_heapgauge_commands --help --version" -- "$word")
        return
    fi
    if [[ $command == record && $line == *' -- '* ]]; then # another program's line
        mapfile -t COMPREPLY < <(compgen -f -- "$word"; compgen -c -- "$word")
        return
    fi
    known=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $word == --*=* ]]; then
        kind=${_heapgauge_values["$command ${word%%=*}"]}
        mapfile -t COMPREPLY < <(_heapgauge_candidates "$kind" "${word#*=}" "$program")
        COMPREPLY=("${COMPREPLY[@]/#/${word%%=*}=}")
    elif [[ $known == -* && -n ${_heapgauge_values["$command $known"]} ]]; then
        mapfile -t COMPREPLY < <(_heapgauge_candidates "${_heapgauge_values["$command $known"]}" "$word" "$program")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${_heapgauge_options[$command]}" -- "$word")
    else
        mapfile -t COMPREPLY < <(_heapgauge_candidates "${_heapgauge_operands[$command]}" "$word" "$program")
    fi
    [[ ${#COMPREPLY[@]} -ne 1 || ! ${COMPREPLY[0]} =~ [=/]$ ]] || compopt -o nospace 2>/dev/null
    # Readline replaces only what stands behind the last = or :.
    cut=${word%"${word##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -F _heapgauge heapgauge
"""


def bash(commands, backends):
    options, values, operands = [], [], []
    for command in commands:
        found = option_values(command)
        shown = [name + ("=" if v.kind and name.startswith("--") else "") for name, v in found.items()]
        options.append(f"    [{command.name}]={quoted(' '.join(shown))}\n")
        for name, v in found.items():
            if v.kind in ("file", "folder", "backends", "one-of"):
                words = " ".join(v.words) if v.kind == "one-of" else "@" + v.kind
                values.append(f"    [{quoted(command.name + ' ' + name)}]={quoted(words)}\n")
    kinds = {"files": "@file", "folders": "@folder"}
    for command in commands:
        kind = operand(command)
        operands.append(f"    [{command.name}]={quoted(kinds.get(kind, '@' + kind) if kind else '')}\n")
    operands.append("    [help]='@commands'\n")
    text = BASH
    for key, value in (("OPTIONS", "".join(options)), ("VALUES", "".join(values)), ("OPERANDS", "".join(operands)),
                       ("COMMANDS", " ".join(c.name for c in commands)), ("BACKENDS", " ".join(backends))):
        text = text.replace(f"@{key}@", value)
    return text


# ---- zsh ----

ZSH_ACTIONS = {"file": "_files", "folder": "_files -/", "backends": "_heapgauge_backends", "other": " ",
               "files": "_files", "folders": "_files -/", "traces": "_files -g '*.hgt(-.)'",
               "workloads": "_heapgauge_workloads", "commands": "_heapgauge_commands"}

ZSH = r"""#compdef heapgauge
# Completion of heapgauge for zsh. Made from `heapgauge help`; not to be edited.

_heapgauge_backends() {
  local -a names
  names=(@BACKENDS@ all)
  _alternative 'backends:backend:_sequence compadd - $names' 'libraries:library:_files -g "*.so(-.)"'
}

_heapgauge_workloads() {
  local -a names
  names=(${(f)"$(_call_program workloads $service bench --backend=core --benchmark_list_tests 2>/dev/null | sed 's|/backend:[^/]*||')"})
  _alternative 'workloads:workload:compadd -a names' 'traces:trace:_files -g "*.hgt(-.)"'
}

_heapgauge_commands() {
  local -a commands
  commands=(
@COMMANDS@  )
  _describe -t commands command commands
}

_heapgauge() {
  local state line curcontext="$curcontext"
  _arguments -C '1: :_heapgauge_commands' '(- *)--help' '(- *)--version' '*:: :->rest'
  [[ $state == rest ]] || return 0
  curcontext="${curcontext%:*:*}:heapgauge-${words[1]}:"
  case ${words[1]} in
@CASES@    help) _heapgauge_commands ;;
  esac
}

_heapgauge "$@"
"""


def zsh_option(name, values):
    """One specification for _arguments."""
    text = first_sentence(values.text).replace("\\", "\\\\").replace(":", "\\:")
    spec = f"*{name}" + ("=" if values.kind and name.startswith("--") else "") + (f"[{text}]" if text else "")
    if values.kind:
        action = f"({' '.join(values.words)})" if values.kind == "one-of" else ZSH_ACTIONS[values.kind]
        spec += f":{values.name.replace(':', ' ')}:{action}"
    return quoted(spec)


def zsh(commands, backends):
    cases = []
    for command in commands:
        specs = [zsh_option(name, values) for name, values in option_values(command).items()]
        kind = operand(command)
        if command.name == "record":
            specs.append("'*::program: _normal'")
        elif kind:
            specs.append(quoted(f"*:{kind}:{ZSH_ACTIONS[kind]}"))
        cases.append(f"    {command.name})\n      _arguments -S \\\n        " + " \\\n        ".join(specs) + "\n      ;;\n")
    listed = "".join("    " + quoted(f"{c.name}:{c.what.replace(':', chr(92) + ':')}") + "\n" for c in commands)
    text = ZSH
    for key, value in (("CASES", "".join(cases)), ("COMMANDS", listed), ("BACKENDS", " ".join(backends))):
        text = text.replace(f"@{key}@", value)
    return text


# ---- fish ----

FISH = r"""# Completion of heapgauge for fish. Made from `heapgauge help`; not to be edited.

# True if the command is $argv.
function __heapgauge_is
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end

function __heapgauge_workloads
    heapgauge bench --backend=core --benchmark_list_tests 2>/dev/null | string replace -r '/backend:[^/]*' ''
    __fish_complete_suffix .hgt
end

# Names of backends, behind those that are there already.
function __heapgauge_backends
    set -l before (string match -r '.*[=,]' -- (commandline -ct) | string replace -r '^--?[a-z]+=' '')
    printf "$before%s\n" @BACKENDS@ all
    __fish_complete_suffix .so
end

complete -c heapgauge -f
complete -c heapgauge -n 'test (count (commandline -opc)) -eq 1' -l version
complete -c heapgauge -n 'test (count (commandline -opc)) -eq 1' -a help -d 'the options of a command'
complete -c heapgauge -n '__heapgauge_is help' -a '@COMMANDS@'
"""

FISH_ACTIONS = {"backends": "'(__heapgauge_backends)'", "folder": "'(__fish_complete_directories)'",
                "folders": "'(__fish_complete_directories)'", "traces": "'(__fish_complete_suffix .hgt)'",
                "workloads": "'(__heapgauge_workloads)'"}


def fish_option(command, name, values):
    line = f"complete -c heapgauge -n '__heapgauge_is {command}' " + ("-l " if name.startswith("--") else "-s ")
    line += name.lstrip("-")
    if values.kind == "file":
        line += " -r -F"
    elif values.kind:
        line += " -x"
        action = quoted(" ".join(values.words)) if values.kind == "one-of" else FISH_ACTIONS.get(values.kind)
        line += f" -a {action}" if action else ""
    text = first_sentence(values.text)
    return line + (f" -d {quoted(text)}" if text else "") + "\n"


def fish(commands, backends):
    text = FISH.replace("@BACKENDS@", " ".join(backends)).replace("@COMMANDS@", " ".join(c.name for c in commands))
    for command in commands:
        text += f"complete -c heapgauge -n 'test (count (commandline -opc)) -eq 1' -a {command.name} -d {quoted(command.what)}\n"
        for name, values in option_values(command).items():
            text += fish_option(command.name, name, values)
        kind = operand(command)
        if kind in FISH_ACTIONS:
            text += f"complete -c heapgauge -n '__heapgauge_is {command.name}' -a {FISH_ACTIONS[kind]}\n"
        elif kind == "files":
            text += f"complete -c heapgauge -n '__heapgauge_is {command.name}' -F\n"
    return text
