package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

const (
	perSecond = 20 // of a publisher
	window    = 32 // publications of a publisher that wait for their acknowledgement
)

// pace calls fn so often until it returns false, the context is done, or the peer has ended.
func (h *hand) pace(ctx context.Context, p *peer, every time.Duration, fn func() bool) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !fn() {
				return
			}
		case <-ctx.Done():
			return
		case <-p.ended:
			return
		}
	}
}

// author publishes with one connection until it ends, with a number of acknowledgements under way.
func (h *hand) author(ctx context.Context, mode string, every time.Duration, next func() (channel string, size int)) {
	p := h.dial(ctx)
	if p == nil {
		return
	}
	defer p.leave()
	a, slots := h.book.Author(), make(chan struct{}, window)
	h.pace(ctx, p, every, func() bool {
		select {
		case slots <- struct{}{}:
		case <-p.ended:
			return false
		}
		channel, size := next()
		p.publish(a, channel, size, func(err error) {
			<-slots
			if err == nil {
				h.tally.add(mode+", acknowledged", 1)
			} else {
				h.tally.add(mode+", refused or not answered", 1)
			}
		})
		return h.rand.IntN(2000) != 0 // now and then go elsewhere
	})
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for range window { // what is under way
		select {
		case slots <- struct{}{}:
		case <-p.ended:
			return
		case <-wait.C:
			return
		}
	}
}

func publish(ctx context.Context, h *hand) {
	channels := h.some(6)
	h.author(ctx, "publications", time.Second/perSecond, func() (string, int) {
		return channels[h.rand.IntN(len(channels))], h.size()
	})
}

func publishBig(ctx context.Context, h *hand) {
	h.author(ctx, "big publications", 2*time.Second, func() (string, int) { return bigChannel, 100<<10 + h.rand.IntN(500<<10) })
}

// flood is for those who do not read.
func flood(ctx context.Context, h *hand) {
	h.author(ctx, "flood publications", 50*time.Millisecond, func() (string, int) { return floodChannel, 16 << 10 })
}

// publishOverAPI publishes one thing after the other over HTTP, until something goes wrong.
func publishOverAPI(ctx context.Context, h *hand) {
	n, a := h.node(), h.book.Author()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		channel := core(h.rand.IntN(coreChannels))
		number, payload := a.Post(channel, h.size())
		body := fmt.Appendf(nil, `{"channel":%s,"data":%s}`, wire.AppendString(nil, channel), payload)
		status, text, err := post(context.WithoutCancel(ctx), client, n.http()+"/api/publish", body)
		switch {
		case err != nil:
			h.tally.add("HTTP publications, broken", 1)
			return
		case status == http.StatusOK:
			a.Acked(number)
			h.tally.add("HTTP publications, acknowledged", 1)
		case status >= http.StatusInternalServerError:
			a.Refused(number)
			h.tally.add("HTTP publications, refused", 1)
			return
		default:
			a.Refused(number)
			h.tally.violation("the API answered %d %.200q to a publication", status, text)
		}
		pause(ctx, time.Second/perSecond)
	}
}

// post sends JSON and returns the answer.
func post(ctx context.Context, client *http.Client, url string, body []byte) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err = io.ReadAll(res.Body)
	return res.StatusCode, text, err
}

// silentPeer is a plain WebSocket, which nothing comes back on.
type silentPeer struct{ ended chan struct{} }

// Message takes what should not come.
func (s *silentPeer) Message(*ws.Conn, ws.Message) {}

// Tick is not asked for.
func (s *silentPeer) Tick(*ws.Conn) {}

// Closed tells of the end.
func (s *silentPeer) Closed(*ws.Conn, ws.CloseError) { close(s.ended) }

// publishRaw sends to the plain WebSocket endpoint, which acknowledges nothing: only the order is owed.
func publishRaw(ctx context.Context, h *hand) {
	dialing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := h.rt.Dial(dialing, h.node().raw(), ws.DialOptions{Options: ws.Options{Compression: h.rand.IntN(2) == 0}})
	if err != nil {
		h.tally.add("connections refused or broken", 1)
		return
	}
	s := &silentPeer{ended: make(chan struct{})}
	conn.Start(s)
	a := h.book.Author()
	h.pace(ctx, &peer{ended: s.ended}, time.Second/perSecond, func() bool {
		_, payload := a.Post(rawChannel, h.size())
		h.tally.add("raw messages", 1)
		return conn.Send(ws.NewFrame(false, payload)) == nil && h.rand.IntN(500) != 0
	})
	conn.Close(ws.CodeNormal, "")
	<-s.ended
}
