// What Python sees. Arrays are taken as they are (no conversion, no copy of another type behind one's back);
// the lock of the interpreter is released while anything is computed.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <numeric>
#include <optional>
#include <stdexcept>

#include "core.h"
#include "roofline.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Places = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Picture = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Views = std::vector<std::tuple<Picture, std::optional<Mask>, Doubles, Doubles>>;
using Maps = std::vector<std::optional<Matrix>>;  // of depth, one a view
template <class T>
using Out = nb::ndarray<nb::numpy, T, nb::c_contig>;

void want(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

template <class T>
Out<T> owned(std::vector<size_t> shape, T*& data) {
    size_t count = 1;
    for (size_t n : shape) count *= n;
    data = new T[count ? count : 1]();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(data, shape.size(), shape.data(), owner);
}

nerf::Camera camera_of(int width, int height, const Doubles& lens, const Doubles& pose) {
    want(lens.shape(0) == 12 && pose.shape(0) == 12, "lens and pose are 12 numbers each");
    nerf::Camera camera{width, height, lens(0), lens(1), lens(2), lens(3), {}, {}};
    for (int i = 0; i < 8; i++) camera.distortion[i] = lens(4 + i);
    for (int i = 0; i < 12; i++) camera.pose[i] = pose(i);
    return camera;
}

// Rays whose samples are given: the same field and the same loss, without pixels and marching.
struct PackedRays : nerf::Rays {
    const int64_t* starts;
    const float *origins, *directions, *t, *dt, *targets, *backgrounds;
    float *rgb, *depth, *opacity;
    nerf::LossSettings loss;
    int count;

    int begin(int ray, nerf::Ray& out, float* ts, float* dts) override {
        for (int c = 0; c < 3; c++) {
            out.origin[c] = origins[3 * size_t(ray) + c];
            out.direction[c] = directions[3 * size_t(ray) + c];
        }
        const int n = int(starts[ray + 1] - starts[ray]);
        std::copy_n(t + starts[ray], n, ts);
        std::copy_n(dt + starts[ray], n, dts);
        return n;
    }
    double seen(int ray, nerf::Unit& u, int r) override {
        const size_t i = size_t(ray);
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = u.colour[3 * r + c] + u.rest[r] * backgrounds[3 * i + c];
        depth[i] = u.depth_sum[r] / std::max(u.opacity[r], 1e-6f);
        opacity[i] = u.opacity[r];
        const nerf::RayLoss l = nerf::ray_loss(loss, u.colour + 3 * r, u.opacity[r], u.rest[r], targets + 3 * i,
                                               backgrounds + 3 * i, 1.0f, count);
        std::copy_n(l.d_colour, 3, u.d_colour + 3 * r);
        u.d_opacity[r] = l.d_opacity;
        u.d_rest[r] = l.d_rest;
        if (!u.d_spread) return l.value;
        u.d_spread[r] = loss.distortion / float(count);
        return l.value + double(u.d_spread[r]) * u.spread[r];
    }
};

PackedRays packed_rays(const nerf::Settings& settings, const Places& starts, const Matrix& origins,
                       const Matrix& directions, const Vector& t, const Vector& dt, const Matrix& targets,
                       const Matrix& backgrounds) {
    want(starts.shape(0) >= 1, "starts has one number more than there are rays");
    const size_t rays = starts.shape(0) - 1, n = t.shape(0);
    for (const Matrix* m : {&origins, &directions, &targets, &backgrounds})
        want(m->shape(0) == rays && m->shape(1) == 3, "origins, directions, targets and backgrounds are (rays, 3)");
    want(dt.shape(0) == n && starts(0) == 0 && starts(rays) == int64_t(n), "starts do not bound the samples");
    for (size_t r = 0; r < rays; r++)
        want(starts(r + 1) >= starts(r) && starts(r + 1) - starts(r) <= settings.most_samples,
             "starts fall, or a ray has more than most_samples");
    PackedRays packed;
    packed.starts = starts.data();
    packed.origins = origins.data(), packed.directions = directions.data();
    packed.t = t.data(), packed.dt = dt.data();
    packed.targets = targets.data(), packed.backgrounds = backgrounds.data();
    packed.loss = settings.loss;
    packed.count = int(rays);
    return packed;
}

// Gives each of `all` its depth map, which `kept` holds on to, and returns the points of known depth.
std::vector<nerf::Sighting> sightings_of(std::vector<nerf::View>& all, std::vector<nb::object>& kept, const Maps& maps,
                                         const Places& views, const Doubles& positions_px, const Vector& depth,
                                         const Vector& trust) {
    const size_t n = views.shape(0);
    want(maps.size() == all.size(), "there are depths of another number of views");
    want(positions_px.shape(0) == 2 * n && depth.shape(0) == n && trust.shape(0) == n,
         "points, their depths and their trusts differ in number");
    for (size_t i = 0; i < maps.size(); i++) {
        const nerf::Camera& camera = all[i].camera;
        want(!maps[i] || (int(maps[i]->shape(0)) == camera.height && int(maps[i]->shape(1)) == camera.width),
             "a depth map has another size than its picture");
    }
    std::vector<nerf::Sighting> points;
    for (size_t i = 0; i < n; i++) {
        want(views(i) >= 0 && size_t(views(i)) < all.size(), "a point is seen by a view that there is not");
        points.push_back({int(views(i)), positions_px(2 * i), positions_px(2 * i + 1), depth(i), trust(i)});
    }
    for (size_t i = 0; i < maps.size(); i++) {
        all[i].depth = maps[i] ? maps[i]->data() : nullptr;
        if (maps[i]) kept.push_back(nb::cast(*maps[i]));
    }
    return points;
}

// The core and the pictures it looks at, which Python must not give up while it does.
class Bound {
   public:
    Bound(const nerf::Settings& settings, const Vector& scale, const Places& resolution, const Places& entries,
          const Places& dense, const std::string& isa, int threads)
        : core_(settings, levels(scale, resolution, entries, dense), isa, threads) {}

    nerf::Core& core() { return core_; }

    void set_views(const Views&);
    void set_depths(const Maps& maps, const Places& views, const Doubles& positions_px, const Vector& depth,
                    const Vector& trust);

    nb::object tensor(const std::string& name, const std::string& part);
    void set_tensor(const std::string& name, const std::string& part, const Matrix& values);
    nb::object evaluate(const Places& starts, const Matrix& origins, const Matrix& directions, const Vector& t,
                        const Vector& dt, const Matrix& targets, const Matrix& backgrounds, bool gradients);
    nb::object render(int width, int height, const Doubles& lens, const Doubles& pose, const Doubles& background);

    static std::vector<nerf::Level> levels(const Vector& scale, const Places& resolution, const Places& entries,
                                           const Places& dense) {
        std::vector<nerf::Level> out;
        want(resolution.shape(0) == scale.shape(0) && entries.shape(0) == scale.shape(0) &&
                 dense.shape(0) == scale.shape(0), "levels need as many resolutions and entries");
        size_t offset = 0;
        for (size_t l = 0; l < scale.shape(0); l++) {
            out.push_back({scale(l), uint32_t(resolution(l)), uint32_t(entries(l)), dense(l) != 0, offset});
            offset += size_t(entries(l));
        }
        return out;
    }

   private:
    std::pair<nerf::Tensor*, float*> find(const std::string& name, const std::string& part) {
        std::vector<nerf::Tensor*> all{&core_.log_gains()};
        for (nerf::Tensor& t : core_.tensors()) all.push_back(&t);
        for (nerf::Tensor* t : all)
            if (t->name == name) {
                if (part == "value") return {t, t->values};
                if (part == "m") return {t, t->m};
                if (part == "v") return {t, t->v};
            }
        throw std::invalid_argument("no tensor " + name + ", part " + part);
    }

    nerf::Core core_;
    std::vector<nb::object> kept_;
};

nb::object Bound::tensor(const std::string& name, const std::string& part) {
    const auto [t, data] = find(name, part);
    float* out;
    auto array = owned<float>({t->rows, t->columns}, out);
    for (size_t r = 0; r < t->rows; r++) std::copy_n(data + r * t->stride, t->columns, out + r * t->columns);
    return nb::cast(array);
}

void Bound::set_tensor(const std::string& name, const std::string& part, const Matrix& values) {
    const auto [t, data] = find(name, part);
    want(values.shape(0) == t->rows && values.shape(1) == t->columns, "tensor has another shape");
    for (size_t r = 0; r < t->rows; r++) std::copy_n(values.data() + r * t->columns, t->columns, data + r * t->stride);
    core_.parameters_changed();
}

std::pair<std::vector<nerf::View>, std::vector<nb::object>> views_of(const Views& views) {
    std::vector<nerf::View> out;
    std::vector<nb::object> kept;
    for (const auto& [picture, usable, lens, pose] : views) {
        const int height = int(picture.shape(0)), width = int(picture.shape(1)), channels = int(picture.shape(2));
        want(channels == 3 || channels == 4, "pictures have 3 or 4 channels");
        want(width > 0 && height > 0, "a picture is empty");
        want(!usable || (int(usable->shape(0)) == height && int(usable->shape(1)) == width),
             "a mask has another size than its picture");
        out.push_back({camera_of(width, height, lens, pose), picture.data(), usable ? usable->data() : nullptr,
                       channels});
        kept.push_back(nb::cast(picture));
        if (usable) kept.push_back(nb::cast(*usable));
    }
    return {std::move(out), std::move(kept)};
}

void Bound::set_views(const Views& views) {
    auto [all, kept] = views_of(views);
    core_.views() = std::move(all);
    core_.points().clear();
    kept_ = std::move(kept);
}

void Bound::set_depths(const Maps& maps, const Places& views, const Doubles& positions_px, const Vector& depth,
                       const Vector& trust) {
    core_.points() = sightings_of(core_.views(), kept_, maps, views, positions_px, depth, trust);
}

nb::object Bound::evaluate(const Places& starts, const Matrix& origins, const Matrix& directions, const Vector& t,
                           const Vector& dt, const Matrix& targets, const Matrix& backgrounds, bool gradients) {
    PackedRays packed = packed_rays(core_.settings(), starts, origins, directions, t, dt, targets, backgrounds);
    const size_t rays = size_t(packed.count);
    auto rgb = owned<float>({rays, 3}, packed.rgb);
    auto depth = owned<float>({rays}, packed.depth), opacity = owned<float>({rays}, packed.opacity);
    nb::dict grads;
    std::vector<float*> to;
    if (gradients)
        for (nerf::Tensor& tensor : core_.tensors()) {
            to.push_back(nullptr);
            grads[tensor.name.c_str()] = owned<float>({tensor.rows, tensor.columns}, to.back());
        }
    double loss;
    {
        nb::gil_scoped_release release;
        loss = core_.look(packed, int(rays), to);
    }
    return nb::make_tuple(loss, rgb, depth, opacity, grads);
}

nb::object Bound::render(int width, int height, const Doubles& lens, const Doubles& pose, const Doubles& background) {
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

template <class T>
nb::object copied(const T* data, size_t n) {
    T* out;
    auto array = owned<T>({n}, out);
    std::copy_n(data, n, out);
    return nb::cast(array);
}

nb::object occupancy_of(nerf::Occupancy& o) {
    return nb::make_tuple(copied(o.values().data(), o.cells()), copied(o.allowed().data(), o.cells()),
                          copied(o.on().data(), o.cells()));
}

void set_occupancy_of(nerf::Occupancy& o, const Vector& values, const Bytes& allowed, const Bytes& on) {
    want(values.shape(0) == o.cells() && allowed.shape(0) == o.cells() && on.shape(0) == o.cells(),
         "the occupancy grid has another size");
    std::copy_n(values.data(), o.cells(), o.values().data());
    for (size_t i = 0; i < o.cells(); i++) o.allowed()[i] = allowed(i) != 0;
    o.set_on(on.data());
}

}  // namespace

#include "sdf_bind.h"
#include "baked_bind.h"

NB_MODULE(_native, m) {
    m.def("runnable", &nerf::runnable, "bf16"_a = false, "Names of the kernels that this machine can run, best first.");
    m.def("exponential", [](const Vector& x, const std::string& isa) {
        float* out;
        auto array = owned<float>({x.shape(0)}, out);
        nerf::kernels(isa).exponential(x.data(), out, int(x.shape(0)));
        return array;
    }, "x"_a.noconvert(), "isa"_a);
    m.def("multiply_adds", &nerf::multiply_adds, "isa"_a, "rounds"_a, nb::call_guard<nb::gil_scoped_release>());
    m.def("gather_rows", [](const Matrix& table, const Rows& rows) {
        want(table.shape(1) == 2, "a table has two columns");
        return nerf::gather_rows(table.data(), rows.data(), rows.shape(0));
    }, "table"_a.noconvert(), "rows"_a.noconvert(), "Rows must lie in the table: they are not looked at.");
    m.def("scatter_rows", [](Table& table, const Rows& rows) {
        want(table.shape(1) == 2, "a table has two columns");
        nerf::scatter_rows(table.data(), rows.data(), rows.shape(0));
    }, "table"_a.noconvert(), "rows"_a.noconvert(), "Rows must lie in the table: they are not looked at.");
    m.def("bits", [](uint64_t seed, uint32_t step, uint32_t ray, uint32_t which) {
        return nerf::Random(seed, step, ray).bits(nerf::Draw(which));
    });

    nb::class_<nerf::Settings>(m, "Settings")
        .def(nb::init<>())
        .def_rw("seed", &nerf::Settings::seed)
        .def_rw("resolution", &nerf::Settings::resolution)
        .def_rw("update_every", &nerf::Settings::update_every)
        .def_rw("update_all_until", &nerf::Settings::update_all_until)
        .def_rw("update_share", &nerf::Settings::update_share)
        .def_rw("update_share_empty", &nerf::Settings::update_share_empty)
        .def_rw("decay", &nerf::Settings::decay)
        .def_rw("threshold", &nerf::Settings::threshold)
        .def_rw("step", &nerf::Settings::step)
        .def_rw("cone", &nerf::Settings::cone)
        .def_rw("near", &nerf::Settings::near)
        .def_rw("stop", &nerf::Settings::stop)
        .def_rw("most_samples", &nerf::Settings::most_samples)
        .def_rw("most_rays", &nerf::Settings::most_rays)
        .def_rw("empty_space", &nerf::Settings::empty_space)
        .def_rw("bf16", &nerf::Settings::bf16)
        .def_rw("beta1", &nerf::Settings::beta1)
        .def_rw("beta2", &nerf::Settings::beta2)
        .def_rw("epsilon", &nerf::Settings::epsilon)
        .def_rw("clip", &nerf::Settings::clip)
        .def_rw("random_background", &nerf::Settings::random_background)
        .def("set_background", [](nerf::Settings& s, float r, float g, float b) {
            s.background[0] = r, s.background[1] = g, s.background[2] = b;
        })
        .def("set_loss", [](nerf::Settings& s, int kind, float size, float mask, float opacity, float distortion,
                            float depth) {
            want(kind >= 0 && kind <= 2, "no such colour loss");
            s.loss = {nerf::ColourLoss(kind), size, mask, opacity, distortion, depth};
        });

    using nerf::Core;
    nb::class_<Bound>(m, "Core")
        .def(nb::init<const nerf::Settings&, const Vector&, const Places&, const Places&, const Places&,
                      const std::string&, int>(),
             "settings"_a, "scale"_a.noconvert(), "resolution"_a.noconvert(), "entries"_a.noconvert(),
             "dense"_a.noconvert(), "isa"_a, "threads"_a)
        .def("set_views", &Bound::set_views)
        .def("set_depths", &Bound::set_depths)
        .def("fit_exposure", [](Bound& b) { b.core().fit_exposure(b.core().views().size()); })
        .def("tensor", &Bound::tensor)
        .def("set_tensor", &Bound::set_tensor, "name"_a, "part"_a, "values"_a.noconvert())
        .def("evaluate", &Bound::evaluate, "starts"_a.noconvert(), "origins"_a.noconvert(),
             "directions"_a.noconvert(), "t"_a.noconvert(), "dt"_a.noconvert(), "targets"_a.noconvert(),
             "backgrounds"_a.noconvert(), "gradients"_a)
        .def("render", &Bound::render)
        .def("steps", [](Bound& b, int count, float grid_lr, float network_lr, int active_levels, int samples) {
            nerf::Report r;
            {
                nb::gil_scoped_release release;
                r = b.core().steps(count, {grid_lr, network_lr, active_levels, samples});
            }
            return nb::make_tuple(r.applied, r.refused, r.loss, r.rays, r.marched, r.kept);
        })
        .def("density", [](Bound& b, const Matrix& points) {
            want(points.shape(1) == 3, "points are (n, 3)");
            float* out;
            auto array = owned<float>({points.shape(0)}, out);
            nb::gil_scoped_release release;
            b.core().density(points.data(), points.shape(0), out);
            return array;
        }, "points"_a.noconvert())
        .def("encode", [](Bound& b, const Matrix& points) {
            want(points.shape(1) == 3, "points are (n, 3)");
            float* out;
            auto array = owned<float>({points.shape(0), size_t(b.core().encoded())}, out);
            nb::gil_scoped_release release;
            b.core().encode(points.data(), points.shape(0), out);
            return array;
        }, "points"_a.noconvert())
        .def("update_occupancy", [](Bound& b) {
            nb::gil_scoped_release release;
            b.core().update_occupancy();
        })
        .def("occupancy", [](Bound& b) {
            return occupancy_of(b.core().occupancy());
        })
        .def("set_occupancy", [](Bound& b, const Vector& values, const Bytes& allowed, const Bytes& on) {
            set_occupancy_of(b.core().occupancy(), values, allowed, on);
        }, "values"_a.noconvert(), "allowed"_a.noconvert(), "on"_a.noconvert())
        .def("march", [](Bound& b, const Matrix& origins, const Matrix& directions, const Vector& jitter) {
            const size_t rays = origins.shape(0);
            want(origins.shape(1) == 3 && directions.shape(1) == 3 && directions.shape(0) == rays &&
                     jitter.shape(0) == rays, "origins and directions are (rays, 3), jitter (rays)");
            const nerf::March how = b.core().settings().march();
            std::vector<float> t(how.most_samples), dt(how.most_samples), ts, dts;
            std::vector<int64_t> starts{0};
            for (size_t r = 0; r < rays; r++) {
                nerf::Ray ray;
                for (int c = 0; c < 3; c++) ray.origin[c] = origins(r, c), ray.direction[c] = directions(r, c);
                const int n = b.core().occupancy().march(ray, how, jitter(r), t.data(), dt.data());
                ts.insert(ts.end(), t.begin(), t.begin() + n);
                dts.insert(dts.end(), dt.begin(), dt.begin() + n);
                starts.push_back(int64_t(ts.size()));
            }
            return nb::make_tuple(copied(starts.data(), starts.size()), copied(ts.data(), ts.size()),
                                  copied(dts.data(), dts.size()));
        }, "origins"_a.noconvert(), "directions"_a.noconvert(), "jitter"_a.noconvert())
        .def("rays", [](Bound&, int width, int height, const Doubles& lens, const Doubles& pose, const Matrix& pixels) {
            const nerf::Camera camera = camera_of(width, height, lens, pose);
            float *o, *d;
            auto origins = owned<float>({pixels.shape(0), 3}, o), directions = owned<float>({pixels.shape(0), 3}, d);
            for (size_t i = 0; i < pixels.shape(0); i++) {
                const nerf::Ray ray = nerf::pixel_ray(camera, pixels(i, 0), pixels(i, 1));
                std::copy_n(ray.origin, 3, o + 3 * i);
                std::copy_n(ray.direction, 3, d + 3 * i);
            }
            return nb::make_tuple(origins, directions);
        })
        .def("set_active", [](Bound& b, int levels) { b.core().set_active(levels); })
        .def_prop_ro("views", [](Bound& b) { return b.core().views().size(); })
        .def_prop_ro("isa", [](Bound& b) { return std::string(b.core().isa()); })
        .def_prop_ro("arithmetic", [](Bound& b) { return std::string(b.core().arithmetic()); })
        .def("layer", [](Bound& b, const Matrix& x, const Matrix& d) {
            const size_t n = x.shape(0), width = nerf::kHidden;
            want(x.shape(1) == width && d.shape(1) == width && d.shape(0) == n, "two arrays of (n, 64)");
            float *y, *d_x, *d_w;
            auto out = nb::make_tuple(owned<float>({n, width}, y), owned<float>({n, width}, d_x),
                                      owned<float>({width, width}, d_w));
            b.core().layer(x.data(), d.data(), int(n), y, d_x, d_w);
            return out;
        }, "x"_a.noconvert(), "d"_a.noconvert())
        .def_prop_ro("cells", [](Bound& b) { return b.core().occupancy().cells(); })
        .def_prop_ro("cells_on", [](Bound& b) { return b.core().occupancy().count_on(); })
        .def_prop_rw("place", [](Bound& b) {
            Core& c = b.core();
            return nb::make_tuple(c.step, c.applied, c.refused_in_row, c.caution, c.kept_per_ray);
        }, [](Bound& b, std::tuple<uint32_t, uint32_t, int, double, double> place) {
            Core& c = b.core();
            std::tie(c.step, c.applied, c.refused_in_row, c.caution, c.kept_per_ray) = place;
        });
    bind_sdf(m);
    bind_baked(m);
}
