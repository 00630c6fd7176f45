// Package kstatus asks the library by which Flux judges objects about the policies that the stories saw.
package kstatus
