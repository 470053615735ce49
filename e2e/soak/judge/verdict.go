package judge

import (
	"fmt"
	"time"
)

// told is how long after a publication was acknowledged a view may learn that it may be missing: a node counts as dead
// after three seconds, and a frozen one wakes up later.
const told = time.Minute

// aftermath is how long after trouble somebody may still learn of what it has done.
const aftermath = 10 * time.Second

// mostFindings bounds what is kept of a catastrophe.
const mostFindings = 50

// Verdict is what a book amounts to.
type Verdict struct {
	// Published is how many publications were acknowledged.
	Published int
	// Unknown is how many were neither acknowledged nor refused: their connections broke.
	Unknown int
	// Refused is how many were answered with an error.
	Refused int
	// Views is how many subscriptions there were.
	Views int
	// Delivered is how many messages arrived in all views.
	Delivered int
	// Told is how many are missing in views that were told.
	Told int
	// Surprises is how many of these were sent while nothing was being broken: an overloaded machine does that, too.
	Surprises int
	// Undecided is how many are missing in views that ended in times of trouble, before they could be told.
	Undecided int
	// Gaps is how often views were told.
	Gaps int
	// Lost is how many are missing in views that were not told.
	Lost int
	// Repeated is how many a view got more than once.
	Repeated int
	// Reordered is how many came behind a later one of their author.
	Reordered int
	// Forged is how many nobody has published, or not on that channel, or that arrived changed.
	Forged int
	// Findings says what is wrong, the first 50.
	Findings []string
}

// Bad reports whether a promise was broken.
func (v *Verdict) Bad() bool { return v.Lost+v.Repeated+v.Reordered+v.Forged > 0 }

// Add sums verdicts up.
func (v *Verdict) Add(o Verdict) {
	v.Published += o.Published
	v.Unknown += o.Unknown
	v.Refused += o.Refused
	v.Views += o.Views
	v.Delivered += o.Delivered
	v.Told += o.Told
	v.Surprises += o.Surprises
	v.Undecided += o.Undecided
	v.Gaps += o.Gaps
	v.Lost += o.Lost
	v.Repeated += o.Repeated
	v.Reordered += o.Reordered
	v.Forged += o.Forged
	for _, f := range o.Findings {
		v.find("%s", f)
	}
}

func (v *Verdict) find(format string, args ...any) {
	if len(v.Findings) < mostFindings {
		v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
	}
}

// Judge weighs the history so far. A message that is still under way counts as lost: judge again when it may have come.
func (b *Book) Judge() Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	var v Verdict
	byChannel := map[string][]stamp{}
	for _, a := range b.authors {
		for i, p := range a.posts {
			byChannel[p.channel] = append(byChannel[p.channel], stamp{a.number, i + 1})
			switch p.fate {
			case acknowledged:
				v.Published++
			case refused:
				v.Refused++
			case unknown:
				v.Unknown++
			}
		}
	}
	for _, view := range b.views {
		view.judge(&v, byChannel[view.channel])
	}
	return v
}

// post returns what a stamp says, if there is such a thing.
func (b *Book) post(s stamp) (post, bool) {
	i := s.Author - b.first
	if i < 0 || i >= len(b.authors) || s.Number < 1 || s.Number > len(b.authors[i].posts) {
		return post{}, false
	}
	return b.authors[i].posts[s.Number-1], true
}

func (w *View) judge(v *Verdict, published []stamp) {
	v.Views++
	v.Gaps += len(w.tells)
	v.Forged += len(w.bad)
	for _, bad := range w.bad {
		v.find("%s on %q: %s", w.name, w.channel, bad)
	}
	seen, last := w.arrivals(v)
	if !w.open {
		return
	}
	for _, s := range published {
		p, _ := w.book.post(s)
		overtaken := s.Number < last[s.Author]
		owed := p.fate == acknowledged && !w.ended || overtaken && p.fate != refused
		switch {
		case seen[s] || p.sent < w.since || !owed:
		case w.wasTold(p):
			v.Told++
			if !w.book.troubled(p.sent + time.Second) {
				v.Surprises++
			}
		case w.ended && w.until <= p.sent+aftermath && w.book.troubled(p.sent):
			v.Undecided++
		default:
			v.Lost++
			v.find("%s on %q, open from %v, lost number %d of author %d, sent at %v, acknowledged at %v; told at %v",
				w.name, w.channel, w.since, s.Number, s.Author, p.sent, p.acked, w.tells)
		}
	}
}

// arrivals judges what has arrived, and returns it with the last number of each author.
func (w *View) arrivals(v *Verdict) (seen map[stamp]bool, last map[int]int) {
	seen, last = make(map[stamp]bool, len(w.got)), map[int]int{}
	for _, s := range w.got {
		v.Delivered++
		p, known := w.book.post(s)
		switch {
		case !known || p.channel != w.channel:
			v.Forged++
			v.find("%s on %q got number %d of author %d, which nobody has published there", w.name, w.channel, s.Number, s.Author)
		case seen[s]:
			v.Repeated++
			v.find("%s on %q got number %d of author %d again", w.name, w.channel, s.Number, s.Author)
		case s.Number < last[s.Author]:
			v.Reordered++
			v.find("%s on %q got number %d of author %d behind %d", w.name, w.channel, s.Number, s.Author, last[s.Author])
		}
		seen[s] = true
		last[s.Author] = max(last[s.Author], s.Number)
	}
	return seen, last
}

// wasTold reports whether the view learned, behind the publication and not too late, that something may be missing.
func (w *View) wasTold(p post) bool {
	for _, t := range w.tells {
		if t >= p.sent && t <= max(p.sent, p.acked)+told {
			return true
		}
	}
	return false
}
