package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	prefix    = "PROXY "                 // of version 1
	longest1  = 107                      // with its line end
	longest2  = 4096                     // of what follows the fixed part: addresses, and values that are passed over

	local, proxied    = 0x20, 0x21
	stream4, stream6  = 0x11, 0x21
	length4, length6  = 12, 36
	lastKnownFamily   = 3 // Unix sockets
	lastKnownProtocol = 2 // datagrams
)

// read reads a header and nothing behind it. The address is invalid where the proxy speaks for itself, or for somebody
// without an address.
func read(r io.Reader) (netip.AddrPort, error) {
	start := make([]byte, len(signature), longest1)
	if _, err := io.ReadFull(r, start); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(start) == signature:
		return read2(r)
	case bytes.HasPrefix(start, []byte(prefix)):
		return read1(r, start)
	default:
		return netip.AddrPort{}, errors.New("there is no header of the PROXY protocol")
	}
}

// read1 reads the rest of the line. It takes two octets at a time, since it does not know where the line ends, which is
// with two, and what follows is not its own.
func read1(r io.Reader, line []byte) (netip.AddrPort, error) {
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		step := 2
		if line[len(line)-1] == '\r' {
			step = 1
		}
		if len(line)+step > longest1 {
			return netip.AddrPort{}, fmt.Errorf("the header has more than %d octets", longest1)
		}
		next := line[len(line) : len(line)+step]
		if _, err := io.ReadFull(r, next); err != nil {
			return netip.AddrPort{}, err
		}
		line = line[:len(line)+step]
	}
	return parse1(strings.Split(string(line[:len(line)-2]), " "))
}

// parse1 reads PROXY TCP4 source destination port port, or PROXY UNKNOWN and whatever.
func parse1(words []string) (netip.AddrPort, error) {
	wrong := fmt.Errorf("malformed header %.120q", strings.Join(words, " "))
	if words[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return netip.AddrPort{}, wrong
	}
	source, err := netip.ParseAddr(words[2])
	target, bad := netip.ParseAddr(words[3])
	six := words[1] == "TCP6"
	if err != nil || bad != nil || source.Is6() != six || target.Is6() != six || source.Zone() != "" {
		return netip.AddrPort{}, wrong
	}
	port, ok := parsePort(words[4])
	if _, alsoOK := parsePort(words[5]); !ok || !alsoOK {
		return netip.AddrPort{}, wrong
	}
	return netip.AddrPortFrom(source.Unmap(), port), nil
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == text
}

// read2 reads what follows the signature: command, family, length, addresses, and values that nobody here asks for.
func read2(r io.Reader) (netip.AddrPort, error) {
	var fixed [4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return netip.AddrPort{}, err
	}
	command, family, length := fixed[0], fixed[1], int(binary.BigEndian.Uint16(fixed[2:]))
	switch {
	case command != local && command != proxied:
		return netip.AddrPort{}, fmt.Errorf("version and command are %#x", command)
	case family>>4 > lastKnownFamily || family&15 > lastKnownProtocol:
		return netip.AddrPort{}, fmt.Errorf("the family is %#x", family)
	case length > longest2:
		return netip.AddrPort{}, fmt.Errorf("the header has %d octets: more than %d", length, longest2)
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(r, rest); err != nil {
		return netip.AddrPort{}, err
	}
	if command == local {
		return netip.AddrPort{}, nil
	}
	return parse2(family, rest)
}

func parse2(family byte, rest []byte) (netip.AddrPort, error) {
	switch {
	case family != stream4 && family != stream6:
		return netip.AddrPort{}, nil
	case family == stream4 && len(rest) >= length4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest)), binary.BigEndian.Uint16(rest[8:])), nil
	case family == stream6 && len(rest) >= length6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest)).Unmap(), binary.BigEndian.Uint16(rest[32:])), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%d octets are too few for addresses", len(rest))
}
