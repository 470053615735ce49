package skeincmd

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// sessionRates are those of one connection, as publishes=100/200,bytes=1MiB/4MiB or a mapping of the same.
type sessionRates struct {
	Packets    rate     `doc:"Packets of any kind."`
	Bytes      byteRate `doc:"Bytes of messages."`
	Subscribes rate     `doc:"Subscriptions."`
	Publishes  rate     `doc:"Publications."`
	Calls      rate     `doc:"Calls, and events that are not answered."`
}

// sharedRates are those of a user or an address.
type sharedRates struct {
	Packets    rate     `doc:"Packets of any kind."`
	Bytes      byteRate `doc:"Bytes of messages."`
	Subscribes rate     `doc:"Subscriptions."`
	Publishes  rate     `doc:"Publications."`
	Calls      rate     `doc:"Calls, and events that are not answered."`
	Connects   rate     `doc:"Connections."`
}

func (r *sessionRates) rates() skein.Rates {
	return skein.Rates{
		Packets: skein.Rate(r.Packets), Bytes: skein.Rate(r.Bytes), Subscribes: skein.Rate(r.Subscribes),
		Publishes: skein.Rate(r.Publishes), Calls: skein.Rate(r.Calls),
	}
}

func (r *sharedRates) rates() skein.Rates {
	return skein.Rates{
		Packets: skein.Rate(r.Packets), Bytes: skein.Rate(r.Bytes), Subscribes: skein.Rate(r.Subscribes),
		Publishes: skein.Rate(r.Publishes), Calls: skein.Rate(r.Calls), Connects: skein.Rate(r.Connects),
	}
}

// UnmarshalText reads KIND=PER_SECOND[/BURST],… and adds to what is there.
func (r *sessionRates) UnmarshalText(b []byte) error {
	return readRates(reflect.ValueOf(r).Elem(), string(b))
}

// MarshalText is what UnmarshalText reads.
func (r sessionRates) MarshalText() ([]byte, error) { return writeRates(reflect.ValueOf(r)) }

// UnmarshalText reads KIND=PER_SECOND[/BURST],… and adds to what is there.
func (r *sharedRates) UnmarshalText(b []byte) error {
	return readRates(reflect.ValueOf(r).Elem(), string(b))
}

// MarshalText is what UnmarshalText reads.
func (r sharedRates) MarshalText() ([]byte, error) { return writeRates(reflect.ValueOf(r)) }

func readRates(v reflect.Value, text string) error {
	fields := conf.Fields(v.Type())
	seen := map[string]bool{}
	for one := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		kind, value, found := strings.Cut(one, "=")
		i := slices.IndexFunc(fields, func(f conf.Field) bool { return f.Key == kind })
		switch {
		case !found:
			return fmt.Errorf("%q is not a rate; want KIND=PER_SECOND or KIND=PER_SECOND/BURST, as in publishes=100/200", one)
		case i < 0:
			return fmt.Errorf("there is no rate of %q%s", kind, conf.Hint(kind, kinds(fields)))
		case seen[kind]:
			return fmt.Errorf("%s is given twice", kind)
		}
		seen[kind] = true
		if err := conf.SetText(fields[i].Of(v), value); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func kinds(fields []conf.Field) (names []string) {
	for _, f := range fields {
		names = append(names, f.Key)
	}
	return names
}

func writeRates(v reflect.Value) ([]byte, error) {
	var parts []string
	for _, f := range conf.Fields(v.Type()) {
		if value := f.Of(v); !value.IsZero() {
			parts = append(parts, f.Key+"="+fmt.Sprint(value.Interface()))
		}
	}
	return []byte(strings.Join(parts, ",")), nil
}

// rate is written as 100, or with a burst as 100/200.
type rate skein.Rate

// UnmarshalText reads it.
func (r *rate) UnmarshalText(b []byte) error {
	number := func(s string) (float64, error) {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || n < 0 {
			return 0, errRate
		}
		return n, nil
	}
	read, err := parseRate(string(b), number)
	*r = rate(read)
	return err
}

// MarshalText is what UnmarshalText reads.
func (r rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is what MarshalText writes.
func (r rate) String() string {
	text := strconv.FormatFloat(r.PerSecond, 'f', -1, 64)
	if r.Burst > 0 {
		text += "/" + strconv.Itoa(r.Burst)
	}
	return text
}

// byteRate is a rate of sizes: 64KiB, or 1MiB/4MiB.
type byteRate skein.Rate

// UnmarshalText reads it.
func (r *byteRate) UnmarshalText(b []byte) error {
	size := func(s string) (float64, error) {
		var n conf.Size
		err := n.UnmarshalText([]byte(s))
		return float64(n), err
	}
	read, err := parseRate(string(b), size)
	*r = byteRate(read)
	return err
}

// MarshalText is what UnmarshalText reads.
func (r byteRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is what MarshalText writes.
func (r byteRate) String() string {
	text := sizeText(conf.Size(r.PerSecond))
	if r.Burst > 0 {
		text += "/" + sizeText(conf.Size(r.Burst))
	}
	return text
}

func sizeText(s conf.Size) string {
	b, _ := s.MarshalText() // never fails
	return string(b)
}

var errRate = errors.New("want a number a second, or with a burst as in 100/200")

// parseRate reads PER_SECOND or PER_SECOND/BURST. A burst is a whole number, and one at least.
func parseRate(text string, number func(string) (float64, error)) (r skein.Rate, err error) {
	perSecond, burst, bursts := strings.Cut(text, "/")
	if r.PerSecond, err = number(perSecond); err != nil {
		return skein.Rate{}, fmt.Errorf("%q is not a rate; %w", text, err)
	}
	if !bursts {
		return r, nil
	}
	n, err := number(burst)
	if err == nil && (n < 1 || n != math.Trunc(n) || n > math.MaxInt32 || r.PerSecond == 0) {
		err = errRate
	}
	if err != nil {
		return skein.Rate{}, fmt.Errorf("%q is not a rate; %w", text, err)
	}
	r.Burst = int(n)
	return r, nil
}
