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
type word struct{ text, help string }

func commands(n *kong.Node, path []string) []command {
	c := command{path: strings.Join(path, " ")}
	var below []command
	for _, child := range n.Children {
		if child.Type != kong.CommandNode || child.Hidden {
			continue
		}
		c.words = append(c.words, word{child.Name, sentence(child.Help)})
		below = append(below, commands(child, append(slices.Clone(path), child.Name))...)
	}
	for _, f := range n.Flags {
		c.words = append(c.words, word{"--" + f.Name, sentence(f.Help)})
		if f.Tag.Negatable != "" {
			c.words = append(c.words, word{"--no-" + f.Name, "The contrary of --" + f.Name})
		}
	}
	for _, p := range n.Positional {
		if p.Enum == "" {
			continue
		}
		for value := range strings.SplitSeq(p.Enum, ",") {
			c.words = append(c.words, word{value, ""})
		}
	}
	return append([]command{c}, below...)
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
  local path="" w i words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    w="${path:+$path }${COMP_WORDS[i]}"
    case "$w" in
      %[2]s) path="$w" ;;
    esac
  done
  case "$path" in
`, name, paths(commands))
	for _, c := range commands {
		fmt.Fprintf(&b, "    %q) words=%q ;;\n", c.path, c.texts())
	}
	fmt.Fprintf(&b, `  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _%[1]s %[1]s
`, name)
	return b.String()
}

func zshScript(commands []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `#compdef %[1]s
# zsh completion for %[1]s: source <(%[1]s completion zsh)
_%[1]s() {
  local entered="" w i
  local -a list
  for ((i = 2; i < CURRENT; i++)); do
    w="${entered:+$entered }${words[i]}"
    case "$w" in
      %[2]s) entered="$w" ;;
    esac
  done
  case "$entered" in
`, name, paths(commands))
	for _, c := range commands {
		fmt.Fprintf(&b, "    %q) list=(\n", c.path)
		for _, w := range c.words {
			fmt.Fprintf(&b, "      '%s:%s'\n", w.text, w.help)
		}
		b.WriteString("    ) ;;\n")
	}
	fmt.Fprintf(&b, `  esac
  _describe 'argument' list || _files
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
`, name, strings.ReplaceAll(paths(commands), "|", " "))
	for _, c := range commands {
		for _, w := range c.words {
			arg := "-a " + w.text
			if flag, ok := strings.CutPrefix(w.text, "--"); ok {
				arg = "-l " + flag
			}
			fmt.Fprintf(&b, "complete -c %s -n '__%s_at %q' %s -d '%s'\n", name, name, c.path, arg, w.help)
		}
	}
	return b.String()
}
