// Package interop drives the emulator with the official Go SDK, its pollers and its error type.
package interop
