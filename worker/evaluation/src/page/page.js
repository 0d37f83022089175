"use strict";
// Filters, and unfolding what a link leads to. The page is whole without it.
const form = document.getElementById("filters");
const tasks = Array.from(document.querySelectorAll("details.task"));
const [category, state, text] = ["by-category", "by-state", "by-text"].map((id) => document.getElementById(id));
const texts = new Map();

function textOf(task) {
  if (!texts.has(task)) texts.set(task, task.textContent.toLowerCase());
  return texts.get(task);
}

function filter() {
  const words = text.value.toLowerCase().trim();
  let shown = 0;
  for (const task of tasks) {
    const fits =
      (!category.value || task.dataset.category === category.value) &&
      (!state.value || task.dataset.states.split(" ").includes(state.value)) &&
      (!words || textOf(task).includes(words));
    task.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  document.getElementById("count").value = `${shown} of ${tasks.length} tasks`;
}

// A hidden task could not be shown where a link leads to it.
function follow() {
  const id = location.hash.slice(1);
  const target = id && document.getElementById(id);
  if (!target || !target.matches("details.task")) return;
  if (target.hidden) {
    form.reset();
    filter();
  }
  target.open = true;
  target.scrollIntoView();
}

let waiting = 0;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, 120);
});
document.getElementById("fold").addEventListener("click", (event) => {
  const open = event.target.textContent === "Unfold all";
  for (const task of tasks) if (!task.hidden) task.open = open;
  event.target.textContent = open ? "Fold all" : "Unfold all";
});
addEventListener("hashchange", follow);
form.hidden = false;
filter();
follow();
