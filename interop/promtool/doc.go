// Package promtool names the version of Prometheus whose promtool checks the alerts: its own module replaces others, so that it
// can't be installed by its name.
package promtool
