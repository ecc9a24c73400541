"""The ground floor: files, arrays, cameras, meshes, runs and reports. It knows no task."""
