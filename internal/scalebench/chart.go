package main

import (
	"fmt"
	"math"
	"strings"
)

// A chart is lines over a logarithmic axis.
type chart struct {
	file   string
	title  string
	x, y   string // what the axes show, with the unit
	lines  []line
	labels []string  // of the points
	at     []float64 // where they are, the same for all lines
	logY   bool
}

// A line is one series of a chart, a value a point; a NaN is left out.
type line struct {
	name string
	y    []float64
}

const (
	width, height          = 720, 400
	left, right, top, base = 70, 20, 50, 70
)

// The colours are told apart by those who see few too, on light and dark ground.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}

const style = `<style>
text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-size:16px;font-weight:600}.g{stroke:#d0d7de}.a{stroke:#57606a}
.bg{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{stroke:#30363d}.a{stroke:#8b949e}.bg{fill:#0d1117}}
</style>`

// svg draws the chart.
func (c *chart) svg() string {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n%s\n", width, height, c.title, style)
	fmt.Fprintf(&s, `<rect class="bg" width="%d" height="%d"/>`+"\n", width, height)
	fmt.Fprintf(&s, `<text class="t" x="%d" y="24">%s</text>`+"\n", left, c.title)
	ticks := c.ticks()
	lo, hi := ticks[0], ticks[len(ticks)-1]
	for _, v := range ticks {
		y := c.place(v, lo, hi, c.logY, height-base, top)
		fmt.Fprintf(&s, `<line class="g" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left, y, width-right, y, left-8, y+4, v)
	}
	for i, x := range c.at {
		px := c.px(x)
		fmt.Fprintf(&s, `<line class="a" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			px, height-base, px, height-base+5, px, height-base+20, c.labels[i])
	}
	fmt.Fprintf(&s, `<line class="a" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", left, height-base, width-right, height-base)
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-base+38, c.x)
	fmt.Fprintf(&s, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+height-base)/2, c.y)
	for i, l := range c.lines {
		colour := colours[i%len(colours)]
		var points []string
		for k, y := range l.y {
			if math.IsNaN(y) {
				continue
			}
			py := c.place(y, lo, hi, c.logY, height-base, top)
			points = append(points, fmt.Sprintf("%.1f,%.1f", c.px(c.at[k]), py))
			fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, c.px(c.at[k]), py, colour)
		}
		fmt.Fprintf(&s, "\n"+`<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colour, strings.Join(points, " "))
		x := left + i*(width-left-right)/len(c.lines)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			x, height-22, colour, x+18, height-11, l.name)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func (c *chart) px(x float64) float64 {
	return c.place(x, c.at[0], c.at[len(c.at)-1], true, left+12, width-right-12)
}

// place maps v from lo..hi to from..to.
func (c *chart) place(v, lo, hi float64, log bool, from, to float64) float64 {
	if log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	return from + (v-lo)/(hi-lo)*(to-from)
}

// ticks are round values that the lines lie between: of an even axis from 0 on.
func (c *chart) ticks() (all []float64) {
	lo, hi := math.Inf(1), 0.0
	for _, l := range c.lines {
		for _, y := range l.y {
			if !math.IsNaN(y) {
				lo, hi = min(lo, y), max(hi, y)
			}
		}
	}
	if c.logY {
		for v := math.Pow(10, math.Floor(math.Log10(max(lo, 1e-3)))); ; v *= 10 {
			for _, k := range []float64{1, 2, 5} {
				if round(v*k) <= lo {
					all = all[:0]
				}
				all = append(all, round(v*k))
				if v*k >= hi && len(all) > 1 {
					return all
				}
			}
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(max(hi, 1e-3))))
	for _, k := range []float64{2, 1, 0.5, 0.2} {
		if hi/(step*k) >= 4 || k == 0.2 {
			step *= k
			break
		}
	}
	for i := 0; ; i++ {
		v := round(float64(i) * step)
		if all = append(all, v); v >= hi && i > 0 {
			return all
		}
	}
}

// round takes away what binary fractions leave behind.
func round(v float64) float64 { return math.Round(v*1e6) / 1e6 }
