package skeincmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a script for a shell.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script.
func (c *completionCmd) Run(a *app, k *kong.Context) error {
	nodes := commands(k.Model.Node, nil)
	switch c.Shell {
	case "bash":
		a.printf("%s", bashScript(nodes))
	case "zsh":
		a.printf("%s", zshScript(nodes))
	default:
		a.printf("%s", fishScript(nodes))
	}
	return nil
}

// command is a command with what may follow it.
type command struct {
	path  string // the words that lead to it, such as "token sign"; "" is the program itself
	words []word
}

// word is one that may be typed.
type word struct {
	text, help string
	follows    follow
	values     []string // of oneOf
}

// follow is what may stand behind a flag.
type follow uint8

const (
	another follow = iota // the next word: a flag that takes no value, or no flag
	text                  // something that only the user knows
	file
	oneOf
)

func commands(n *kong.Node, path []string) []command {
	c := command{path: strings.Join(path, " ")}
	var below []command
	for _, child := range n.Children {
		if child.Type != kong.CommandNode || child.Hidden {
			continue
		}
		c.words = append(c.words, word{text: child.Name, help: sentence(child.Help)})
		below = append(below, commands(child, append(slices.Clone(path), child.Name))...)
	}
	for _, f := range n.Flags {
		if f.Name == "help" {
			continue
		}
		c.words = append(c.words, flagWord(f))
		if f.Tag.Negatable != "" {
			c.words = append(c.words, word{text: "--no-" + f.Name, help: "The contrary of --" + f.Name})
		}
	}
	c.words = append(c.words, word{text: "--help", help: "Show help"})
	for _, p := range n.Positional {
		if p.Enum == "" {
			continue
		}
		for value := range strings.SplitSeq(p.Enum, ",") {
			c.words = append(c.words, word{text: value})
		}
	}
	return append([]command{c}, below...)
}

func flagWord(f *kong.Flag) word {
	w := word{text: "--" + f.Name, help: sentence(f.Help), follows: text}
	switch {
	case f.IsBool():
		w.follows = another
	case f.Enum != "":
		w.follows, w.values = oneOf, strings.Split(f.Enum, ",")
	case strings.HasPrefix(f.PlaceHolder, "FILE"):
		w.follows = file
	}
	return w
}

// before lists the flags that such a thing follows. A flag means the same in every command.
func before(commands []command, what follow) []word {
	var list []word
	for _, c := range commands {
		for _, w := range c.words {
			known := slices.ContainsFunc(list, func(other word) bool { return other.text == w.text })
			if w.follows == what && !known {
				list = append(list, w)
			}
		}
	}
	return list
}

// cases are the flags as the alternatives of a shell's case.
func cases(flags []word) string {
	texts := make([]string, len(flags))
	for i, w := range flags {
		texts[i] = w.text
	}
	return strings.Join(texts, "|")
}

// sentence is the first one of a help text, without what shells would take for their own.
func sentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.NewReplacer("'", "", `"`, "", "`", "", "$", "", `\`, "", ":", "", "[", "(", "]", ")").Replace(strings.TrimSuffix(first, "."))
}

func (c command) texts() string {
	texts := make([]string, len(c.words))
	for i, w := range c.words {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}

// paths are those of all commands but the program itself, as the alternatives of a shell's case.
func paths(commands []command) string {
	var list []string
	for _, c := range commands {
		if c.path != "" {
			list = append(list, fmt.Sprintf("%q", c.path))
		}
	}
	return strings.Join(list, "|")
}

func bashScript(commands []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for %[1]s: source <(%[1]s completion bash)
_%[1]s() {
  local path="" w i words="" cur="${COMP_WORDS[COMP_CWORD]}" flag="${COMP_WORDS[COMP_CWORD-1]}"
  if [[ $cur == "=" ]]; then
    cur=""
  elif [[ $flag == "=" ]]; then
    flag="${COMP_WORDS[COMP_CWORD-2]}"
  fi
  COMPREPLY=()
  case "$flag" in
`, name)
	for _, w := range before(commands, oneOf) {
		fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", w.text, strings.Join(w.values, " "))
	}
	fmt.Fprintf(&b, `    %[2]s) compopt -o default; return ;;
    %[3]s) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    w="${path:+$path }${COMP_WORDS[i]}"
    case "$w" in
      %[1]s) path="$w" ;;
    esac
  done
  case "$path" in
`, paths(commands), cases(before(commands, file)), cases(before(commands, text)))
	for _, c := range commands {
		fmt.Fprintf(&b, "    %q) words=%q ;;\n", c.path, c.texts())
	}
	fmt.Fprintf(&b, `  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _%[1]s %[1]s
`, name)
	return b.String()
}

func zshScript(commands []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `#compdef %[1]s
# zsh completion for %[1]s: source <(%[1]s completion zsh)
_%[1]s() {
  local entered="" w i flag="${words[CURRENT-1]}"
  local -a list
  if [[ "${words[CURRENT]}" == --*=* ]]; then
    flag="${words[CURRENT]%%%%=*}"
    compset -P '*='
  fi
  case "$flag" in
`, name)
	for _, w := range before(commands, oneOf) {
		fmt.Fprintf(&b, "    %s) compadd -- %s; return ;;\n", w.text, strings.Join(w.values, " "))
	}
	fmt.Fprintf(&b, `    %[2]s) _files; return ;;
    %[3]s) return ;;
  esac
  for ((i = 2; i < CURRENT; i++)); do
    w="${entered:+$entered }${words[i]}"
    case "$w" in
      %[1]s) entered="$w" ;;
    esac
  done
  case "$entered" in
`, paths(commands), cases(before(commands, file)), cases(before(commands, text)))
	for _, c := range commands {
		fmt.Fprintf(&b, "    %q) list=(\n", c.path)
		for _, w := range c.words {
			fmt.Fprintf(&b, "      '%s:%s'\n", w.text, w.help)
		}
		b.WriteString("    ) ;;\n")
	}
	fmt.Fprintf(&b, `  esac
  _describe 'argument' list
}
compdef _%[1]s %[1]s
`, name)
	return b.String()
}

func fishScript(commands []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# fish completion for %[1]s: %[1]s completion fish | source
function __%[1]s_at
  set -l entered ""
  for w in (commandline -opc)[2..]
    set -l next (string trim "$entered $w")
    switch "$next"
      case %[2]s
        set entered "$next"
    end
  end
  test "$entered" = "$argv[1]"
end
complete -c %[1]s -f
`, name, strings.ReplaceAll(paths(commands), "|", " "))
	for _, c := range commands {
		for _, w := range c.words {
			fmt.Fprintf(&b, "complete -c %s -n '__%s_at %q' %s -d '%s'\n", name, name, c.path, w.fish(), w.help)
		}
	}
	return b.String()
}

// fish is the word as the options of complete.
func (w word) fish() string {
	flag, ok := strings.CutPrefix(w.text, "--")
	if !ok {
		return "-a " + w.text
	}
	switch w.follows {
	case text:
		return "-x -l " + flag
	case file:
		return "-r -F -l " + flag
	case oneOf:
		return fmt.Sprintf("-x -a %q -l %s", strings.Join(w.values, " "), flag)
	case another:
	}
	return "-l " + flag
}
