//go:build !sim

package main

import (
	"os"
	"path/filepath"
	"regexp"
)

// libraryLine finds mapped libraries in /proc/self/maps.
var libraryLine = regexp.MustCompile(`(?m)\s(/\S*/librbd\.so\.\S+)$`)

// librbd is the library that clusters are reached through, with its version:
// that of the file which the dynamic linker has loaded (1.16.0 comes with Ceph
// 16, Pacific).
func librbd() string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "librbd"
	}
	found := libraryLine.FindSubmatch(maps)
	if found == nil {
		return "librbd"
	}
	path := string(found[1])
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	version := regexp.MustCompile(`librbd\.so\.(.+)$`).FindStringSubmatch(path)
	if version == nil {
		return "librbd"
	}
	return "librbd " + version[1]
}
