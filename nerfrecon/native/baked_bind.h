// The baked march as Python sees it; a part of bind.cpp, whose array types it uses.
#pragma once

#include "baked_march.h"
#include "pool.h"

namespace {

constexpr size_t kRaysOfTask = 256;
constexpr size_t kRowsOfSlot = 9 * 9 * 9;

// Voxels that have been looked through once: a march may then follow any number it finds in them.
class BakedVoxels {
   public:
    BakedVoxels(int resolution, Rows slot, Rows rows, Bytes distance, size_t table)
        : slot_(std::move(slot)), rows_(std::move(rows)), distance_(std::move(distance)), table_(table),
          cube_{resolution, slot_.data(), rows_.data(), distance_.data()} {
        want(resolution >= 16 && resolution % 8 == 0, "the resolution is a multiple of 8, 16 or more");
        const size_t blocks = size_t(resolution) / 8, groups = size_t(resolution) / 4;
        want(slot_.shape(0) == blocks * blocks * blocks && distance_.shape(0) == groups * groups * groups,
             "slot is (resolution / 8)^3 and distance (resolution / 4)^3 numbers");
        const int64_t slots = int64_t(rows_.shape(0) / kRowsOfSlot);
        for (size_t i = 0; i < slot_.shape(0); i++) want(slot_(i) >= 0 && slot_(i) < slots, "a slot has no rows");
        for (size_t i = 0; i < rows_.shape(0); i++)
            want(rows_(i) >= 0 && size_t(rows_(i)) < table_, "a row is not in the table");
    }

    nb::tuple march(const Vector& codes, const Matrix& origins, const Matrix& directions, const Vector& t0,
                    const Vector& t1, std::tuple<float, float, float, float> optics, int threads) const {
        const size_t rays = origins.shape(0);
        want(codes.shape(0) == table_, "codes are one number for each row of the table");
        want(origins.shape(1) == 3 && directions.shape(0) == rays && directions.shape(1) == 3 &&
                 t0.shape(0) == rays && t1.shape(0) == rays, "origins and directions are (rays, 3), t0 and t1 (rays)");
        const auto [step, low, high, stop] = optics;
        const nerf::BakedOptics how{step, low, high, stop};
        std::vector<nerf::BakedPoints> parts((rays + kRaysOfTask - 1) / kRaysOfTask);
        std::vector<int64_t> counts(rays);
        {
            nb::gil_scoped_release release;
            nerf::Pool pool(threads);
            pool.run(int(parts.size()), [&](int task, int) {
                nerf::BakedPoints& part = parts[size_t(task)];
                const size_t first = size_t(task) * kRaysOfTask;
                for (size_t r = first; r < std::min(rays, first + kRaysOfTask); r++) {
                    nerf::BakedRay ray{{}, {}, t0(r), t1(r)};
                    for (int c = 0; c < 3; c++) ray.origin[c] = origins(r, c), ray.direction[c] = directions(r, c);
                    const size_t before = part.t.size();
                    nerf::march_baked(cube_, codes.data(), how, ray, part);
                    counts[r] = int64_t(part.t.size() - before);
                }
            });
        }
        size_t n = 0;
        for (const auto& part : parts) n += part.t.size();
        int64_t *rows, *starts;
        float *weights, *t;
        auto out = nb::make_tuple(owned<int64_t>({n, 8}, rows), owned<float>({n, 8}, weights), owned<float>({n}, t),
                                  owned<int64_t>({rays + 1}, starts));
        for (const auto& part : parts) {
            rows = std::copy(part.rows.begin(), part.rows.end(), rows);
            weights = std::copy(part.weights.begin(), part.weights.end(), weights);
            t = std::copy(part.t.begin(), part.t.end(), t);
        }
        std::partial_sum(counts.begin(), counts.end(), starts + 1);
        return out;
    }

   private:
    Rows slot_, rows_;
    Bytes distance_;
    size_t table_;
    nerf::BakedCube cube_;
};

void bind_baked(nb::module_& m) {
    nb::class_<BakedVoxels>(m, "BakedVoxels")
        .def(nb::init<int, Rows, Rows, Bytes, size_t>(), "resolution"_a, "slot"_a.noconvert(), "rows"_a.noconvert(),
             "distance"_a.noconvert(), "table"_a)
        .def("march", &BakedVoxels::march, "codes"_a.noconvert(), "origins"_a.noconvert(),
             "directions"_a.noconvert(), "t0"_a.noconvert(), "t1"_a.noconvert(), "optics"_a, "threads"_a);
}

}  // namespace
