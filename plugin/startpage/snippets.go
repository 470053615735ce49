package startpage

import (
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"text/template"
)

// snippet is code to copy.
type snippet struct{ ID, Title, Note, Code string }

// place is where the code connects to.
type place struct {
	Scheme, Host, Hostname, Port string
	Secure                       bool
	Endpoint                     string // "" where the client's own default is right
	Path, Channel                string
	Publish                      string // path of the HTTP API's publish operation; "" where there is none
}

// hostSyntax keeps anything but a host out of code that somebody is going to paste into a shell.
const hostSyntax = `^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`

// target derives the place from the URL in the reader's browser. That the scheme may be claimed by a proxy decides
// nothing but what is shown.
func target(scheme, host, endpoint, channel string) place {
	p := place{Scheme: "http", Host: host, Path: endpoint, Channel: channel}
	if ok, _ := regexp.MatchString(hostSyntax, p.Host); !ok { // the expression is a constant
		p.Host = "127.0.0.1:8000"
	}
	p.Port = "80"
	if scheme == "https" {
		p.Scheme, p.Port, p.Secure = "https", "443", true
	}
	p.Hostname = strings.Trim(p.Host, "[]")
	if host, port, err := net.SplitHostPort(p.Host); err == nil {
		p.Hostname, p.Port = host, port
	}
	if endpoint != "/socketcluster/" {
		p.Endpoint = endpoint
	}
	return p
}

const node = `// npm install socketcluster-client
import { create } from 'socketcluster-client';

const socket = create({{"{"}} {{template "options" .}} });

for await (const data of socket.subscribe({{json .Channel}})) {
  console.log(data);
}
`

const browser = `<!-- node_modules/socketcluster-client/socketcluster-client.min.js, next to your page -->
<script type="module">
  import { create } from './socketcluster-client.min.js';

  const socket = create({{"{"}} {{template "options" .}} });
  const channel = socket.subscribe({{json .Channel}});

  await channel.listener('subscribe').once();
  await channel.invokePublish({ hello: 'browser' });

  for await (const data of channel) {
    document.body.append(JSON.stringify(data), document.createElement('br'));
  }
</script>
`

const options = `{{define "options"}}hostname: {{json .Hostname}}, port: {{.Port}}{{if .Secure}}, secure: true{{end}}` +
	`{{with .Endpoint}}, path: {{json .}}{{end}}{{end}}`

const goClient = `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/skeinrt/skein/client"
)

func main() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Options{URL: {{json (printf "ws%s://%s%s" (slice .Scheme 4) .Host .Path)}}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.Publish(ctx, {{json .Channel}}, map[string]string{"hello": "go"}))
}
`

const curl = `curl {{.Scheme}}://{{.Host}}{{.Publish}} \
  -H 'Content-Type: application/json' \
  -d '{{shell (printf "{\"channel\": %s, \"data\": {\"hello\": \"curl\"}}" (json .Channel))}}'
`

// snippets fills in the place.
func snippets(p place) []snippet {
	functions := template.FuncMap{"json": quote, "shell": func(s string) string { return strings.ReplaceAll(s, "'", `'\''`) }}
	fill := func(text string) string {
		var b strings.Builder
		t := template.Must(template.New("").Funcs(functions).Parse(options + text))
		if err := t.Execute(&b, p); err != nil {
			panic(err) // the texts are constants
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	list := []snippet{
		{"node", "Node", "npm install socketcluster-client", fill(node)},
		{"browser", "Browser", "A page from another origin needs --origins.", fill(browser)},
		{"go", "Go", "go get github.com/skeinrt/skein/client", fill(goClient)},
	}
	if p.Publish != "" {
		list = append(list, snippet{"curl", "curl", "The HTTP API, or anything that can POST.", fill(curl)})
	}
	return list
}

// quote is a JSON string, which is also one of JavaScript and, for all that stands here, of Go.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}
