// What Python sees of the signed distance. A part of bind.cpp, behind whose helpers it is included.
#pragma once

#include "sdf_core.h"

namespace {

class BoundSdf {
   public:
    BoundSdf(const nerf::Settings& settings, const nerf::SdfSettings& sdf, const Vector& scale,
             const Places& resolution, const Places& entries, const Places& dense, const std::string& isa, int threads)
        : core_(settings, sdf, Bound::levels(scale, resolution, entries, dense), isa, threads) {}

    nerf::SdfCore& core() { return core_; }
    void set_views(const Views& views) {
        auto [all, kept] = views_of(views);
        core_.views() = std::move(all);
        core_.points().clear();
        kept_ = std::move(kept);
    }
    void set_depths(const Maps& maps, const Places& views, const Doubles& positions_px, const Vector& depth,
                    const Vector& trust) {
        core_.points() = sightings_of(core_.views(), kept_, maps, views, positions_px, depth, trust);
    }
    nb::object tensor(const std::string& name, const std::string& part) {
        const auto [t, data] = find(name, part);
        float* out;
        auto array = owned<float>({t->rows, t->columns}, out);
        t->read(data, out);
        return nb::cast(array);
    }
    void set_tensor(const std::string& name, const std::string& part, const Matrix& values) {
        const auto [t, data] = find(name, part);
        want(values.shape(0) == t->rows && values.shape(1) == t->columns, "tensor has another shape");
        t->write(values.data(), data);
        core_.parameters_changed();
    }
    nb::object evaluate(const Places& starts, const Matrix& origins, const Matrix& directions, const Vector& t,
                        const Vector& dt, const Matrix& targets, const Matrix& backgrounds, bool gradients) {
        PackedRays packed = packed_rays(core_.settings(), starts, origins, directions, t, dt, targets, backgrounds);
        const size_t rays = size_t(packed.count);
        auto rgb = owned<float>({rays, 3}, packed.rgb);
        auto depth = owned<float>({rays}, packed.depth), opacity = owned<float>({rays}, packed.opacity);
        nb::dict grads;
        std::vector<float*> to;
        if (gradients) {
            for (nerf::SdfTensor& tensor : core_.tensors()) {
                to.push_back(nullptr);
                grads[tensor.name.c_str()] = owned<float>({tensor.rows, tensor.columns}, to.back());
            }
            to.push_back(nullptr);
            grads["sharpness"] = owned<float>({1}, to.back());
        }
        double loss;
        {
            nb::gil_scoped_release release;
            loss = core_.look(packed, int(rays), to);
        }
        return nb::make_tuple(loss, rgb, depth, opacity, grads);
    }
    nb::object render(int width, int height, const Doubles& lens, const Doubles& pose, const Doubles& background) {
        want(width > 0 && height > 0 && background.shape(0) == 3, "a view has a size and a background of 3 numbers");
        const nerf::Camera camera = camera_of(width, height, lens, pose);
        const float behind[3] = {float(background(0)), float(background(1)), float(background(2))};
        float *rgb, *depth, *opacity;
        const size_t w = size_t(width), h = size_t(height);
        auto rgbs = owned<float>({h, w, 3}, rgb);
        auto depths = owned<float>({h, w}, depth), opacities = owned<float>({h, w}, opacity);
        {
            nb::gil_scoped_release release;
            core_.render(camera, behind, rgb, depth, opacity);
        }
        return nb::make_tuple(rgbs, depths, opacities);
    }

   private:
    std::pair<nerf::SdfTensor*, float*> find(const std::string& name, const std::string& part) {
        for (nerf::SdfTensor& t : core_.tensors())
            if (t.name == name) {
                if (part == "value") return {&t, t.values};
                if (part == "m") return {&t, t.m};
                if (part == "v") return {&t, t.v};
            }
        throw std::invalid_argument("no tensor " + name + ", part " + part);
    }

    nerf::SdfCore core_;
    std::vector<nb::object> kept_;
};

void bind_sdf(nb::module_& m) {
    using nerf::SdfCore;
    using nerf::SdfSettings;
    nb::class_<SdfSettings>(m, "SdfSettings")
        .def(nb::init<>())
        .def_rw("normal_weight", &SdfSettings::normal_weight)
        .def_rw("normal_share", &SdfSettings::normal_share)
        .def_rw("eikonal", &SdfSettings::eikonal)
        .def_rw("curvature", &SdfSettings::curvature)
        .def_rw("first_levels", &SdfSettings::first_levels)
        .def_rw("learned_sharpness", &SdfSettings::learned_sharpness)
        .def_rw("section", &SdfSettings::section)
        .def_rw("longest", &SdfSettings::longest)
        .def_rw("band_diagonals", &SdfSettings::band_diagonals)
        .def_rw("band_widths", &SdfSettings::band_widths);
    nb::class_<BoundSdf>(m, "SdfCore")
        .def(nb::init<const nerf::Settings&, const SdfSettings&, const Vector&, const Places&, const Places&,
                      const Places&, const std::string&, int>(),
             "settings"_a, "sdf"_a, "scale"_a.noconvert(), "resolution"_a.noconvert(), "entries"_a.noconvert(),
             "dense"_a.noconvert(), "isa"_a, "threads"_a)
        .def("set_views", &BoundSdf::set_views)
        .def("set_depths", &BoundSdf::set_depths)
        .def("tensor", &BoundSdf::tensor)
        .def("set_tensor", &BoundSdf::set_tensor, "name"_a, "part"_a, "values"_a.noconvert())
        .def("evaluate", &BoundSdf::evaluate, "starts"_a.noconvert(), "origins"_a.noconvert(),
             "directions"_a.noconvert(), "t"_a.noconvert(), "dt"_a.noconvert(), "targets"_a.noconvert(),
             "backgrounds"_a.noconvert(), "gradients"_a)
        .def("render", &BoundSdf::render)
        .def("steps", [](BoundSdf& b, int count, float grid_lr, float network_lr, int active_levels, int samples,
                         float prior) {
            nerf::Report r;
            {
                nb::gil_scoped_release release;
                r = b.core().steps(count, {grid_lr, network_lr, active_levels, samples, prior});
            }
            return nb::make_tuple(r.applied, r.refused, r.loss, r.rays, r.marched, r.kept);
        })
        .def("sdf", [](BoundSdf& b, const Matrix& points) {
            want(points.shape(1) == 3, "points are (n, 3)");
            float* out;
            auto array = owned<float>({points.shape(0)}, out);
            nb::gil_scoped_release release;
            b.core().sdf(points.data(), points.shape(0), out);
            return array;
        }, "points"_a.noconvert())
        .def("fit", [](BoundSdf& b, const Matrix& points, const Vector& targets, float grid_lr, float network_lr,
                       int active_levels) {
            want(points.shape(1) == 3 && points.shape(0) == targets.shape(0), "points are (n, 3), targets (n)");
            nb::gil_scoped_release release;
            return b.core().fit(points.data(), targets.data(), points.shape(0),
                                {grid_lr, network_lr, active_levels, 0});
        }, "points"_a.noconvert(), "targets"_a.noconvert(), "grid_lr"_a, "network_lr"_a, "active_levels"_a)
        .def("clear_optimiser", [](BoundSdf& b) { b.core().clear_optimiser(); })
        .def("update_occupancy", [](BoundSdf& b) {
            nb::gil_scoped_release release;
            b.core().update_occupancy();
        })
        .def("occupancy", [](BoundSdf& b) { return occupancy_of(b.core().occupancy()); })
        .def("set_occupancy", [](BoundSdf& b, const Vector& values, const Bytes& allowed, const Bytes& on) {
            set_occupancy_of(b.core().occupancy(), values, allowed, on);
        }, "values"_a.noconvert(), "allowed"_a.noconvert(), "on"_a.noconvert())
        .def("set_prior", [](BoundSdf& b, const Vector& distance, int cells) {
            want(cells > 1 && distance.shape(0) == size_t(cells) * cells * cells, "a prior has a number a cell");
            b.core().set_prior(distance.data(), cells);
        })
        .def("set_active", [](BoundSdf& b, int levels) { b.core().set_active(levels); })
        .def("set_sphere", [](BoundSdf& b, float x, float y, float z, float radius) {
            const float centre[3] = {x, y, z};
            b.core().set_sphere(centre, radius);
        })
        .def_prop_ro("isa", [](BoundSdf& b) { return std::string(b.core().isa()); })
        .def_prop_ro("cells", [](BoundSdf& b) { return b.core().occupancy().cells(); })
        .def_prop_ro("cells_on", [](BoundSdf& b) { return b.core().occupancy().count_on(); })
        .def_prop_rw("log_sharpness", [](BoundSdf& b) {
            const float* s = b.core().log_sharpness;
            return nb::make_tuple(s[0], s[1], s[2]);
        }, [](BoundSdf& b, std::tuple<float, float, float> s) {
            std::tie(b.core().log_sharpness[0], b.core().log_sharpness[1], b.core().log_sharpness[2]) = s;
            b.core().parameters_changed();
        })
        .def_prop_rw("normals_per_ray", [](BoundSdf& b) { return b.core().normals_per_ray; },
                     [](BoundSdf& b, double n) { b.core().normals_per_ray = n; })
        .def_prop_rw("place", [](BoundSdf& b) {
            SdfCore& c = b.core();
            return nb::make_tuple(c.step, c.applied, c.refused_in_row, c.caution, c.kept_per_ray);
        }, [](BoundSdf& b, std::tuple<uint32_t, uint32_t, int, double, double> place) {
            SdfCore& c = b.core();
            std::tie(c.step, c.applied, c.refused_in_row, c.caution, c.kept_per_ray) = place;
        });
}

}  // namespace
