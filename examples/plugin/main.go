// Plugin is the skein command with one more plugin in its catalog: a word filter.
//
//	go run ./examples/plugin serve --config examples/plugin/skein.yaml
package main

import (
	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/examples/plugin/censor"
	"github.com/skeinrt/skein/skeincmd"
)

func main() {
	skeincmd.Main(bundled.Catalog().With("censor", func() skein.Plugin { return censor.New() }))
}
