"""Runs in the environment of the arbiters: read CommonRoad files with commonroad-io, check them with commonroad_dc."""

import json
import sys

import numpy as np
from commonroad.common.file_reader import CommonRoadFileReader
from commonroad.common.solution import VehicleType
from commonroad.scenario.state import KSState
from commonroad.scenario.trajectory import Trajectory
from commonroad_dc.boundary import boundary
from commonroad_dc.collision.collision_detection.pycrcc_collision_dispatch import create_collision_object
from commonroad_dc.feasibility import feasibility_checker
from commonroad_dc.feasibility.vehicle_dynamics import VehicleDynamics


def states(obstacle):
    return [obstacle.initial_state, *obstacle.prediction.trajectory.state_list]


def drivable(obstacle, dt):
    """Whether a BMW 320i (kinematic single track) can follow it; the steering angle follows from the yaw rate."""
    known = states(obstacle)
    yaw = np.gradient([s.orientation for s in known], dt)
    steering = [float(np.arctan(2.5789 * r / max(s.velocity, 0.1))) for s, r in zip(known, yaw, strict=True)]
    path = [KSState(time_step=i, position=s.position, orientation=s.orientation, velocity=s.velocity,
                    steering_angle=a) for i, (s, a) in enumerate(zip(known, steering, strict=True))]
    dynamics = VehicleDynamics.KS(VehicleType.BMW_320i)
    try:
        return bool(feasibility_checker.trajectory_feasibility(Trajectory(0, path), dynamics, dt)[0])
    except feasibility_checker.FeasibilityException:
        return False


def told(path, feasibility):
    scenario, problems = CommonRoadFileReader(path).open()
    obstacles = scenario.dynamic_obstacles
    bodies = [create_collision_object(o) for o in obstacles]
    _, edge = boundary.create_road_boundary_obstacle(scenario, method="obb_rectangles")
    around = scenario.location.environment
    return {
        "id": str(scenario.scenario_id), "dt": scenario.dt, "lanelets": len(scenario.lanelet_network.lanelets),
        "problems": len(problems.planning_problem_dict), "tags": sorted(t.value for t in scenario.tags or ()),
        "weather": around.weather.value if around else None, "source": scenario.source,
        "obstacles": [{"id": o.obstacle_id, "type": o.obstacle_type.value, "length": o.obstacle_shape.length,
                       "width": o.obstacle_shape.width,
                       "states": [[*map(float, s.position), float(s.orientation), float(s.velocity)]
                                  for s in states(o)]} for o in obstacles],
        "collide": [[i != j and a.collide(b) for j, b in enumerate(bodies)] for i, a in enumerate(bodies)],
        "off_road": [edge.collide(body) for body in bodies],
        "drivable": [drivable(o, scenario.dt) for o in obstacles[:feasibility]],
    }


if __name__ == "__main__":
    count, files = int(sys.argv[1]), sys.argv[2:]
    print(json.dumps([told(path, count if i == 0 else 0) for i, path in enumerate(files)]))
