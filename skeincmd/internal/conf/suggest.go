package conf

import "strings"

// Nearest returns the name that was probably meant, or "" where none is near.
func Nearest(name string, allowed []string) string {
	best, least := "", 1+max(len(name)/3, 1)
	for _, candidate := range allowed {
		if d := distance(fold(name), fold(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// Hint follows "unknown X": what was probably meant, and all that is allowed.
func Hint(name string, allowed []string) string {
	hint := "; "
	if best := Nearest(name, allowed); best != "" {
		hint = `; did you mean "` + best + `"? `
	}
	return hint + "allowed: " + strings.Join(allowed, ", ")
}

// fold makes max-message, MAX_MESSAGE and maxMessage the same.
func fold(s string) []rune {
	return []rune(strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)))
}

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b []rune) int {
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
