// Command skein is a realtime server and the tools around it.
package main

import (
	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/skeincmd"
)

func main() { skeincmd.Main(bundled.Catalog()) }
