module github.com/skeinrt/skein/bench

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/skeinrt/skein v0.0.0-00010101000000-000000000000
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
)

replace github.com/skeinrt/skein => ../
