// Shows a scene that bodyloop packed into this page. THREE is three.js, unpacked before this runs.
"use strict";

const scene = JSON.parse(document.getElementById("scene").textContent);
const find = (id) => document.getElementById(id);
const TYPES = { int16: Int16Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** Bytes of an element's text, which is base64 of gzip. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(find(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** A typed array of the data; rows that are differences are summed up, modulo the type's range. */
function arrayOf(data, entry) {
  const Type = TYPES[entry.type];
  const values = new Type(data.slice(entry.offset, entry.offset + entry.count * Type.BYTES_PER_ELEMENT));
  if (entry.differences) {
    for (let i = entry.columns; i < values.length; i++) values[i] += values[i - entry.columns];
  }
  return values;
}

/** Metres of quantised places. */
function placesOf(data, entry) {
  const numbers = arrayOf(data, entry), places = new Float32Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) places[i] = entry.low[i % 3] + entry.step[i % 3] * numbers[i];
  return places;
}

/** A white disc with a dark rim, which keypoints are coloured discs of. */
function drawnDisc() {
  const canvas = document.createElement("canvas"), size = 32;
  canvas.width = canvas.height = size;
  const brush = canvas.getContext("2d");
  for (const [color, radius] of [["#222", 0.5], ["#fff", 0.38]]) {
    brush.fillStyle = color;
    brush.beginPath();
    brush.arc(size / 2, size / 2, radius * size, 0, 2 * Math.PI);
    brush.fill();
  }
  return canvas;
}

function run(data) {
  const faces = arrayOf(data, scene.faces), parts = arrayOf(data, scene.parts);
  const skin = scene.skin && {
    index: arrayOf(data, scene.skin.index),
    weight: arrayOf(data, scene.skin.weight),
  };
  const stage = find("stage"), labels = find("labels");
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  stage.appendChild(renderer.domElement);
  const world = new THREE.Scene();
  world.background = new THREE.Color(0xf2f3f6);
  const camera = new THREE.PerspectiveCamera(50, 1, 0.02, 500);
  const controls = new THREE.OrbitControls(camera, renderer.domElement);
  // OpenCV's camera axes to y up, z towards the viewer: a half turn about x.
  const root = new THREE.Group();
  if (scene.axes === "camera") root.rotation.x = Math.PI;
  world.add(root);
  world.add(new THREE.HemisphereLight(0xffffff, 0x9aa0aa, 1.5));
  const lamp = new THREE.DirectionalLight(0xffffff, 1.6);
  lamp.position.set(-0.5, 0.9, 1);
  const holder = new THREE.Group();  // the lamp goes where the viewer goes
  holder.add(lamp, lamp.target);
  world.add(holder);

  const options = { picture: true, keypoints: true, parts: false, others: false, opacity: 1 };
  const hidden = new Set();
  let moment = 0, playing = false, since = 0, moved = false;

  const partColors = new Float32Array(parts.length * 3);
  parts.forEach((part, i) => {
    const color = new THREE.Color().setRGB(...scene.partColors[part], THREE.SRGBColorSpace);
    color.toArray(partColors, 3 * i);
  });
  const index = new THREE.BufferAttribute(faces, 1);
  const colorAttribute = new THREE.BufferAttribute(partColors, 3);

  const figures = scene.figures.map((figure) => {
    const shape = new THREE.BufferGeometry();
    shape.setIndex(index);
    shape.setAttribute("position", new THREE.BufferAttribute(placesOf(data, figure.places), 3));
    shape.setAttribute("color", colorAttribute);
    shape.computeVertexNormals();
    const material = new THREE.MeshStandardMaterial({ roughness: 0.75 });
    const own = new THREE.Color().setRGB(...figure.color, THREE.SRGBColorSpace);
    let mesh, pose = () => {};
    if (figure.motion) {
      shape.setAttribute("skinIndex", new THREE.BufferAttribute(skin.index, 4));
      shape.setAttribute("skinWeight", new THREE.BufferAttribute(skin.weight, 4, true));
      mesh = new THREE.SkinnedMesh(shape, material);
      const rest = figure.motion.joints;
      const bones = rest.map((place, joint) => {
        const bone = new THREE.Bone(), parent = scene.parents[joint];
        const from = parent < 0 ? [0, 0, 0] : rest[parent];
        bone.position.set(place[0] - from[0], place[1] - from[1], place[2] - from[2]);
        return bone;
      });
      bones.forEach((bone, joint) => (scene.parents[joint] < 0 ? mesh : bones[scene.parents[joint]]).add(bone));
      mesh.updateMatrixWorld(true);
      mesh.bind(new THREE.Skeleton(bones));
      const turns = arrayOf(data, figure.motion.turns), moves = arrayOf(data, figure.motion.moves);
      pose = (row) => {
        bones.forEach((bone, joint) => {
          const at = 4 * (bones.length * row + joint);
          bone.quaternion.set(turns[at], turns[at + 1], turns[at + 2], turns[at + 3]).normalize();
        });
        const move = moves.subarray(3 * row, 3 * row + 3);
        bones[0].position.set(rest[0][0] + move[0], rest[0][1] + move[1], rest[0][2] + move[2]);
      };
    } else {
      mesh = new THREE.Mesh(shape, material);
    }
    mesh.frustumCulled = false;
    mesh.visible = false;
    root.add(mesh);
    const rowOf = new Map(figure.moments.map((at, row) => [at, row]));
    const label = document.createElement("div");
    labels.appendChild(label);
    return { ...figure, mesh, material, own, pose, rowOf, label };
  });

  const picture = new THREE.Mesh(
    new THREE.BufferGeometry(),
    new THREE.MeshBasicMaterial({ side: THREE.DoubleSide, toneMapped: false }),
  );
  picture.geometry.setAttribute("uv", new THREE.BufferAttribute(new Float32Array([0, 1, 1, 1, 1, 0, 0, 0]), 2));
  picture.geometry.setIndex([0, 3, 1, 1, 3, 2]);
  picture.frustumCulled = false;
  picture.visible = false;
  root.add(picture);
  const dots = new THREE.Group();
  root.add(dots);
  const disc = new THREE.Texture(drawnDisc());
  disc.needsUpdate = true;

  function showPicture() {
    const { corners, picture: url } = scene.moments[moment];
    picture.visible = Boolean(url && corners && options.picture);
    if (!picture.visible) return Promise.resolve();
    picture.geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(corners.flat()), 3));
    if (picture.userData.url === url) return Promise.resolve();
    const image = new Image(), wanted = moment;
    image.src = url;
    return image.decode().then(() => {
      if (moment !== wanted) return;
      picture.material.map?.dispose();
      const texture = new THREE.Texture(image);
      texture.colorSpace = THREE.SRGBColorSpace;
      texture.anisotropy = 4;
      texture.needsUpdate = true;
      picture.material.map = texture;
      picture.material.needsUpdate = true;
      picture.userData.url = url;
    });
  }

  function showDots() {
    for (const child of [...dots.children]) {
      child.geometry.dispose();
      child.material.dispose();
      dots.remove(child);
    }
    if (!options.keypoints) return;
    for (const person of scene.moments[moment].dots) {
      if (hidden.has(person.person)) continue;
      const places = new THREE.BufferAttribute(arrayOf(data, person.places), 3);
      const lines = new THREE.BufferGeometry();
      lines.setAttribute("position", places);
      if (person.limbs) {
        lines.setIndex(new THREE.BufferAttribute(arrayOf(data, person.limbs), 1));
        dots.add(new THREE.LineSegments(lines, new THREE.LineBasicMaterial({ color: 0xffffff })));
      }
      const points = new THREE.BufferGeometry();
      points.setAttribute("position", places);
      points.setAttribute("color", new THREE.BufferAttribute(arrayOf(data, person.colors), 3, true));
      dots.add(new THREE.Points(points, new THREE.PointsMaterial({
        size: 9 * renderer.getPixelRatio(), sizeAttenuation: false, vertexColors: true, map: disc, alphaTest: 0.5,
      })));
    }
    for (const child of dots.children) child.frustumCulled = false;
  }

  function showFigures() {
    const sideBySide = options.others;
    for (const figure of figures) {
      const row = figure.rowOf.get(moment);
      const there = row !== undefined && !hidden.has(figure.person) && (figure.chosen || sideBySide);
      figure.mesh.visible = there;
      figure.caption = there ? figure.captions[row] : "";
      if (!there) continue;
      figure.pose(row);
      figure.mesh.position.x = figure.chosen ? 0 : figure.shifts[row];
      figure.head = figure.heads[row];
      const { material } = figure;
      if (material.vertexColors !== options.parts || material.transparent !== options.opacity < 1) {
        material.vertexColors = options.parts;
        material.transparent = options.opacity < 1;
        material.needsUpdate = true;
      }
      material.opacity = options.opacity;
      if (options.parts) material.color.set(0xffffff);
      else material.color.copy(figure.own);
    }
  }

  /** Names over the heads where several hypotheses, or nothing else, would tell who is who. */
  function placeLabels() {
    const place = new THREE.Vector3();
    for (const figure of figures) {
      const shown = figure.mesh.visible && options.others && figure.caption;
      figure.label.style.display = shown ? "" : "none";
      if (!shown) continue;
      place.set(figure.head[0] + figure.mesh.position.x, figure.head[1], figure.head[2]).applyMatrix4(root.matrixWorld);
      place.project(camera);
      figure.label.textContent = figure.caption;
      figure.label.style.left = `${(place.x + 1) / 2 * stage.clientWidth}px`;
      figure.label.style.top = `${(1 - place.y) / 2 * stage.clientHeight}px`;
      if (place.z > 1) figure.label.style.display = "none";
    }
  }

  const bar = find("seek"), output = find("where"), list = find("people");

  function listPeople() {
    const there = new Map();
    for (const figure of figures) {
      const row = figure.rowOf.get(moment);
      if (row !== undefined && figure.chosen) there.set(figure.person, { caption: figure.captions[row], own: figure.own });
    }
    list.replaceChildren(...[...there].map(([person, { caption, own }]) => {
      const label = document.createElement("label"), box = document.createElement("input");
      const swatch = document.createElement("span");
      box.type = "checkbox";
      box.checked = !hidden.has(person);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(person);
        else hidden.add(person);
        refresh();
      });
      swatch.className = "swatch";
      swatch.style.background = `#${own.getHexString()}`;
      label.append(box, swatch, caption);
      return label;
    }));
  }

  function draw() {
    holder.quaternion.copy(camera.quaternion);
    holder.position.copy(camera.position);
    renderer.render(world, camera);
    placeLabels();
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  async function refresh() {
    const asked = moment;
    showFigures();
    showDots();
    listPeople();
    bar.value = moment;
    output.textContent = scene.moments.length > 1
      ? `${moment + 1} / ${scene.moments.length}  ${scene.moments[moment].name}` : scene.moments[moment].name;
    await showPicture();
    if (asked !== moment) return;
    draw();
    document.body.dataset.moment = moment;
  }

  function go(to) {
    moment = (to + scene.moments.length) % scene.moments.length;
    if (!scene.video) resetView();  // another photo, another camera
    return refresh();
  }

  /** The camera's own view, with the whole picture in sight. */
  function resetView() {
    const { view, wideView } = scene.moments[moment];
    const { eye, target, corners } = options.others && wideView ? wideView : view;
    root.updateMatrixWorld(true);
    const at = (place) => new THREE.Vector3(...place).applyMatrix4(root.matrixWorld);
    camera.position.copy(at(eye));
    controls.target.copy(at(target));
    camera.up.set(0, 1, 0);
    camera.lookAt(controls.target);
    camera.updateMatrixWorld(true);
    let tall = 0, wide = 0;
    for (const corner of corners) {
      const seen = at(corner).applyMatrix4(camera.matrixWorldInverse);
      const depth = Math.max(-seen.z, 1e-6);
      tall = Math.max(tall, Math.abs(seen.y) / depth);
      wide = Math.max(wide, Math.abs(seen.x) / depth);
    }
    camera.fov = (2 * 180 / Math.PI) * Math.atan(Math.max(tall, wide / camera.aspect));
    camera.updateProjectionMatrix();
    controls.update();
    moved = false;
    redraw();
  }

  function resize() {
    renderer.setSize(stage.clientWidth, stage.clientHeight, false);
    camera.aspect = stage.clientWidth / Math.max(1, stage.clientHeight);
    if (!moved) resetView();
    camera.updateProjectionMatrix();
  }

  function play(on) {
    playing = on && scene.moments.length > 1;
    find("play").textContent = playing ? "Pause" : "Play";
    since = performance.now();
    if (playing) requestAnimationFrame(tick);
  }

  /** Moments keep their times; the last one stays as long as the one before. */
  function duration(at) {
    const last = scene.moments.length - 1, from = Math.min(at, last - 1);
    return 1000 * (scene.moments[from + 1].seconds - scene.moments[from].seconds);
  }

  async function tick(now) {
    if (!playing) return;
    if (now - since >= duration(moment)) {
      since = Math.max(since + duration(moment), now - 200);
      await go(moment + 1);
    }
    requestAnimationFrame(tick);
  }

  function screenshot() {
    draw();
    renderer.domElement.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = "bodyloop.png";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  const bind = (id, change) => find(id).addEventListener(id === "opacity" ? "input" : "change", (event) => {
    change(event.target);
    refresh();
  });
  bind("show-picture", (box) => { options.picture = box.checked; });
  bind("show-keypoints", (box) => { options.keypoints = box.checked; });
  bind("show-parts", (box) => { options.parts = box.checked; });
  bind("show-others", (box) => {
    options.others = box.checked;
    resetView();
  });
  bind("opacity", (range) => { options.opacity = Number(range.value); });
  find("others-row").hidden = figures.every((figure) => figure.chosen);
  find("picture-row").hidden = scene.moments.every((one) => !one.picture);
  find("keypoints-row").hidden = scene.moments.every((one) => !one.dots.length);
  bar.max = scene.moments.length - 1;
  bar.addEventListener("input", () => { play(false); go(Number(bar.value)); });
  find("play").addEventListener("click", () => play(!playing));
  find("reset").addEventListener("click", resetView);
  find("shot").addEventListener("click", screenshot);
  controls.addEventListener("start", () => { moved = true; });
  controls.addEventListener("change", redraw);
  window.addEventListener("resize", () => { resize(); redraw(); });
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" && event.key !== " ") return;
    const act = {
      " ": () => play(!playing), ArrowLeft: () => go(moment - 1), ArrowRight: () => go(moment + 1), r: resetView,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  find("panel").open = window.innerWidth > 600;  // where it would cover everything, it waits to be asked for
  if (scene.moments.length < 2) document.body.classList.add("single");
  resize();
  return refresh().then(() => { document.body.dataset.ready = "true"; });
}

function trouble(text) {
  find("trouble").textContent = text;
  find("trouble").style.display = "flex";
  document.body.dataset.ready = "failed";
}

(async () => {
  if (!("DecompressionStream" in window)) {
    trouble("This page needs a browser of 2023 or later.");
    return;
  }
  try {
    const library = document.createElement("script");
    library.textContent = `${new TextDecoder().decode(await unpacked("three"))};window.THREE = THREE;`;
    document.head.appendChild(library);
    await run(await unpacked("data"));
  } catch (error) {
    trouble(`This page could not be shown (${error.message}). It needs WebGL 2.`);
    console.error(error);
  }
})();
