// Package bundled names the plugins of the stock binary. A binary of one's own begins with them, and adds some:
//
//	skeincmd.Main(bundled.Catalog().With("censor", func() skein.Plugin { return censor.New() }))
package bundled

import (
	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/admin"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/plugin/echo"
	"github.com/skeinrt/skein/plugin/health"
	"github.com/skeinrt/skein/plugin/metrics"
	"github.com/skeinrt/skein/plugin/rawws"
	"github.com/skeinrt/skein/plugin/startpage"
)

// Catalog returns the plugins of the stock binary.
func Catalog() skein.Catalog {
	return skein.NewCatalog().
		With("admin", func() skein.Plugin { return admin.New() }).
		With("api", func() skein.Plugin { return api.New() }).
		With("echo", func() skein.Plugin { return echo.New() }).
		With("health", func() skein.Plugin { return health.New() }).
		With("metrics", func() skein.Plugin { return metrics.New() }).
		With("rawws", func() skein.Plugin { return rawws.New() }).
		With("startpage", func() skein.Plugin { return startpage.New() })
}
