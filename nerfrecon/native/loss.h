// What a ray costs, and the derivatives by what it composited. Definitions: render/losses.py.
#pragma once

#include <cmath>

namespace nerf {

enum class ColourLoss : int { squared = 0, huber = 1, charbonnier = 2 };

struct LossSettings {
    ColourLoss colour = ColourLoss::huber;
    float size = 0.1f;           // Huber's delta, Charbonnier's epsilon
    float mask = 0, opacity = 0; // weights of the two terms that look at a ray's opacity
    float distortion = 0, depth = 0;
};

struct RayLoss {
    double value = 0;
    float d_colour[3], d_opacity, d_rest;
};

// Value and derivative of the colour loss of one channel.
inline void colour_loss(const LossSettings& s, float r, float& value, float& slope) {
    switch (s.colour) {
        case ColourLoss::squared: value = r * r, slope = 2 * r; return;
        case ColourLoss::huber:
            if (std::fabs(r) <= s.size) value = 0.5f * r * r, slope = r;
            else value = s.size * (std::fabs(r) - 0.5f * s.size), slope = std::copysign(s.size, r);
            return;
        case ColourLoss::charbonnier: {
            const float root = std::sqrt(r * r + s.size * s.size);
            value = root - s.size, slope = r / root;
        }
    }
}

// One ray's share of the mean over `rays` rays. `colour` is without background, `rest` what passes the ray,
// `target` is already laid over `background`, `mask` is 1 on the object.
inline RayLoss ray_loss(const LossSettings& s, const float* colour, float opacity, float rest, const float* target,
                        const float* background, float mask, int rays) {
    RayLoss out;
    const float share = 1.0f / float(rays), channel = share / 3.0f;
    out.d_opacity = out.d_rest = 0;
    for (int c = 0; c < 3; c++) {
        float value = 0, slope = 0;
        colour_loss(s, colour[c] + rest * background[c] - target[c], value, slope);
        out.value += double(value) * channel;
        out.d_colour[c] = slope * channel;
        out.d_rest += slope * channel * background[c];
    }
    const float low = 1e-3f, o = std::fmin(std::fmax(opacity, low), 1 - low);
    const bool inside = opacity >= low && opacity <= 1 - low;  // the clamp passes no gradient
    if (s.mask > 0) {
        out.value -= double(s.mask * share) * (mask * std::log(o) + (1 - mask) * std::log(1 - o));
        if (inside) out.d_opacity += s.mask * share * ((1 - mask) / (1 - o) - mask / o);
    }
    if (s.opacity > 0) {
        out.value -= double(s.opacity * share) * (o * std::log(o) + (1 - o) * std::log(1 - o));
        if (inside) out.d_opacity += s.opacity * share * (std::log(1 - o) - std::log(o));
    }
    return out;
}

// A ray's share of the depth loss: |depth - wanted| times `weight`; nothing for a ray that meets nothing.
struct DepthLoss {
    double value = 0;
    float d_depth_sum = 0, d_opacity = 0;
};

inline DepthLoss depth_loss(float depth_sum, float opacity, float wanted, float weight) {
    DepthLoss out;
    if (!(opacity > 0)) return out;
    const float low = 1e-6f, over = std::fmax(opacity, low), away = depth_sum / over - wanted;
    out.value = double(std::fabs(away)) * weight;
    const float slope = away > 0 ? weight : away < 0 ? -weight : 0;
    out.d_depth_sum = slope / over;
    if (opacity >= low) out.d_opacity = -slope * depth_sum / (over * over);
    return out;
}

}  // namespace nerf
