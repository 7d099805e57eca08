"""Runs in the environment of the arbiters: read scenarios and maps with the av2 package."""

import json
import sys
from pathlib import Path

from av2.datasets.motion_forecasting import scenario_serialization
from av2.map.map_api import ArgoverseStaticMap


def told(path):
    scenario = scenario_serialization.load_argoverse_scenario_parquet(path)
    name = path.name.replace("scenario_", "log_map_archive_").replace(".parquet", ".json")
    lanes = ArgoverseStaticMap.from_json(path.with_name(name))
    return {
        "id": scenario.scenario_id, "city": scenario.city_name, "focal": scenario.focal_track_id,
        "timestamps": len(scenario.timestamps_ns), "seconds": float(scenario.timestamps_ns[-1]) / 1e9,
        "lanes": len(lanes.get_scenario_lane_segments()), "areas": len(lanes.get_scenario_vector_drivable_areas()),
        "centre": lanes.get_lane_segment_centerline(1)[:, 1].tolist(),
        "tracks": {t.track_id: {"type": t.object_type.value, "category": t.category.value,
                                "x": [s.position[0] for s in t.object_states]} for t in scenario.tracks},
    }


if __name__ == "__main__":
    print(json.dumps([told(Path(path)) for path in sys.argv[1:]]))
