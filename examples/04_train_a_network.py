"""Lesson 4: train a regression network, on people who are drawn and whom nobody has to annotate.

    python examples/04_train_a_network.py [FOLDER]

Seconds are too short for a network to learn to see: this shows what a run does and leaves behind. `bodyloop train spin
-o FOLDER` is the same recipe for an hour or more on a laptop; docs/training.md says how to go on from there.
"""

import csv
import sys
from pathlib import Path

import bodyloop as bl
from bodyloop.annotate.estimates import estimate_people
from bodyloop.data.synthetic import SyntheticPeople
from bodyloop.nets.build import load_estimator
from bodyloop.train_jobs import TrainingJob, train_network
from bodyloop.view import save_picture
from bodyloop.view.comparison import comparison

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/04_train_a_network")

# 1. A recipe by name, at the scale that takes seconds, with some changes: more people in the wild, more steps.
changes = ("phases.0.data.1.count=24", "phases.0.steps=60", "validate_every=20", "save_every=20")
job = TrainingJob("spin", folder / "run", "smoke", changes, folder / "crops", workers=0, resume=True)
recipe = job.read()
print(f"{recipe.name}: {recipe.source}")

# 2. Draw the people, fit those whom only keypoints label, and train with fits in the loop.
done, files = train_network(job)
with (folder / "run" / "log.csv").open() as file:
    log = list(csv.DictReader(file))
losses = [float(line["loss"]) for line in log]
print(f"{len(log)} steps; loss {sum(losses[:5]) / 5:.2f} at first, {sum(losses[-5:]) / 5:.2f} at last")
print("written:", ", ".join(path.name for path in files))

# 3. Somebody whom the network has not seen: the person's box is cut out, the network says the rest.
network = load_estimator(done.last)
body = bl.load_body()
person = SyntheticPeople("studio", split="test", size=224).sample(0)
skeleton = bl.get_skeleton("coco17")
seen = person.keypoints(body, skeleton)
evidence = bl.Evidence.from_keypoints(skeleton, seen.image[None], seen.inside[None].float())
found = estimate_people(network, person.image.numpy(), evidence, person.camera, body)

# 4. Photo, found, true, and both from the side.
truth = person.bodies[None]
save_picture(folder / "found.png", comparison(person.image.numpy(), body, found, truth, person.camera))
off = (body.joints(found) - body.joints(truth))[0]
error = (off - off[:1]).norm(dim=-1).mean()
print(f"joints are {1000 * error:.0f} mm off after {len(log)} steps")
print(f"written to {folder}")
